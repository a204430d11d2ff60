"""What is asked of `fuse`, as options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmi2i_cli.choices.models import BEST, JUDGES
from llmi2i_cli.choices.options import as_given, check_bounds, option
from llmi2i_cli.choices.strategies import DEFAULT, ORDERS, STRATEGIES, WEIGHTS
from llmi2i_cli.errors import UsageError

HOW = "How candidates are joined: " + "; ".join(f"{row.name}, {row.about}" for row in STRATEGIES.values()) + "."


@dataclass(frozen=True, kw_only=True)
class FuseOptions:
    """What is None is tuned, or without tuning has the default that is shown."""

    tune: bool | None = option(None, "Choose on validation.", shown="if there is a validation split")
    strategy: Literal[*STRATEGIES] | None = option(None, HOW, shown=f"tuned, or {DEFAULT}")  # type: ignore[valid-type]
    recall_number: int | None = option(None, "Candidates per user at most.", shown="tuned, or all", min=0)
    min_confidence: float | None = option(
        None, "Confidence that candidates need.", shown="tuned, or filter's keep", min=0, max=1
    )
    order: Literal[*ORDERS] | None = option(  # type: ignore[valid-type]
        None,
        "Which candidates come first: the generator's best, the discriminator's or, as a control, any.",
        shown="tuned, or rank",
    )
    copied_history: int | None = option(
        None, "Latest interactions that a pseudo-user copies.", shown="tuned, or all", min=1
    )
    weight: Literal[*WEIGHTS] | None = option(  # type: ignore[valid-type]
        None,
        "What a candidate counts, times the mean weight of its user's own interactions.",
        shown="tuned, or confidence",
    )
    include_real: bool = option(False, "Leave out real interactions that filter --include-real doubts.")
    drop_real: float | None = option(
        None,
        "Share of the real interactions to leave out, the least confident.",
        shown="tuned, or 0.01",
        min=0,
        max=0.99,
    )
    model: Literal[*JUDGES] = option(  # type: ignore[valid-type]
        BEST, "Model whose validation Recall@10 decides: the one that you serve."
    )

    def check(self) -> None:
        """UsageError for an option out of its bounds, or options that contradict each other."""
        check_bounds(self)
        if self.model not in JUDGES:
            raise UsageError(
                f"--model is one of {', '.join(JUDGES)}, whose tables follow from the log, not {self.model}"
            )
        if self.copied_history is not None and self.strategy and not STRATEGIES[self.strategy].copies_history:
            raise UsageError(f"--strategy {self.strategy} copies no history: leave out --copied-history")
        if self.drop_real is not None and not self.include_real:
            raise UsageError("--drop-real needs the verdicts on the real interactions: add --include-real")

    @property
    def choice(self) -> Mapping[str, Any]:
        """What is given of `data.fusion.Choice`, by its fields; None is to be chosen. What is not judged stays."""
        asked = {name: value for name, value in as_given(self).items() if name not in ("tune", "include_real", "model")}
        return asked if self.include_real else {**asked, "drop_real": 0.0}
