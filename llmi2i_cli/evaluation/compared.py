"""Which tables `evaluate` puts side by side, and how each of them ranks."""

from __future__ import annotations

from dataclasses import dataclass

from llmi2i_cli.choices.models import GENERATOR, MODELS, has_variant, rankings_of
from llmi2i_cli.errors import UsageError
from llmi2i_cli.runs.pipeline import DATA


@dataclass(frozen=True)
class RankedTable:
    """What is measured, and how it ranks."""

    model: str
    data: str
    ranking: str

    @property
    def name(self) -> str:
        return f"{self.model}-{self.data}"

    @property
    def vectors_path(self) -> str:
        return f"i2i/{self.name}.vectors.npz"

    def name_beside(self, model: str) -> str:
        """As it is told apart in a comparison of `model`: by its log, or by its whole name."""
        return self.data if self.model == model else self.name


def tables_of(
    model: str, data: str, recent: int | None, decay: float | None, ranking: str, baseline: str | None
) -> tuple[RankedTable, RankedTable | None]:
    """The table that is meant, and the one that it is compared with; UsageError for options that contradict."""
    rankings = rankings_of(model)
    if ranking != "auto" and ranking not in rankings:
        able = " or ".join(row.name for row in MODELS.values() if ranking in row.ranks_by)
        raise UsageError(f"--ranking {ranking} needs --model {able}: {model} ranks by {' or '.join(rankings)} alone")
    ours = RankedTable(model, data, rankings[0] if ranking == "auto" else ranking)
    theirs = _baseline(model, baseline, ranking) if baseline else None
    if model == GENERATOR and (data != "real" or ours == theirs):
        raise UsageError("--model generator has learnt from the real log alone: leave out --data and --baseline real")
    if ours.ranking == GENERATOR and decay is not None:
        raise UsageError("--model generator reads a history as it is: leave out --decay")
    for table in filter(None, (ours, theirs)):
        if table.ranking == "user-vectors" and not recent is decay is None:
            raise UsageError(
                "user vectors are made from as many recent items as in training: leave out --recent and --decay, "
                "or add --ranking index"
            )
    return ours, theirs


def _baseline(model: str, baseline: str, ranking: str) -> RankedTable:
    """``real``, the same model's table on the real log, or another by its name; it ranks as asked if it can."""
    theirs, _, data = baseline.rpartition("-") if baseline != "real" else (model, "-", "real")
    if baseline != "real" and not (theirs in MODELS and data in DATA and has_variant(theirs, data)):
        raise UsageError(f"--baseline is real or a table such as blend-real, not {baseline!r}")
    rankings = rankings_of(theirs)
    return RankedTable(theirs, data, ranking if ranking in rankings else rankings[0])
