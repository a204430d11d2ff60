"""The evaluations of a work directory, read back and laid out as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.models import GENERATOR, MODELS
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.evaluation.groups import BY_TRAIN_COUNT, FIGURES
from llmi2i_cli.files.documents import read_json
from llmi2i_cli.plots.evaluation import label_of, names_of
from llmi2i_cli.plots.gains import Gain
from llmi2i_cli.runs.pipeline import producer_of

Evaluation = Mapping[str, Any]  # evaluate/MODEL-DATA-SPLIT.json


def read_evaluation(workdir: Path, path: str) -> Evaluation:
    """An evaluation by its path in the work directory. ArtifactError if it does not tell all that it has to."""
    try:
        evaluation: Evaluation = read_json(workdir / path)
        for figures in (evaluation, evaluation.get("baseline", evaluation)):
            for name in FIGURES:
                figures[name], figures[BY_TRAIN_COUNT][name]
            figures["protocol"]["exclude_seen"], figures["model"], figures["data"]
        evaluation["split"], evaluation["users"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{workdir / path} is damaged, or of an earlier version: run `{producer_of(path)} -w {workdir} --force`"
        ) from error
    return evaluation


def headline(evaluations: Sequence[Evaluation], table: tuple[str, str] | None) -> Evaluation | None:
    """The evaluation that the report is about: over a baseline, of `table`, on test, as far as there is such a one."""

    def worth(evaluation: Evaluation) -> tuple[bool, bool, bool]:
        return "gain" in evaluation, (evaluation["model"], evaluation["data"]) == table, evaluation["split"] == "test"

    return max(evaluations, key=worth, default=None)


def result_rows(evaluations: Sequence[Evaluation], k: int) -> list[dict[str, Any]]:
    """A row for each split, model and log: recall with intervals, NDCG, and gains where they were measured.

    What stands in an evaluation of its own is told from there; the real log may be the baseline of another alone.
    Rows are in the order of the table of models, test first.
    """
    figures: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for evaluation in evaluations:
        if baseline := evaluation.get("baseline"):
            figures[evaluation["split"], baseline["model"], baseline["data"]] = baseline
    figures |= {
        (evaluation["split"], evaluation["model"], evaluation["data"]): evaluation for evaluation in evaluations
    }
    models = (*MODELS, GENERATOR)
    order = sorted(figures, key=lambda key: (key[0] != "test", models.index(key[1]), key[2] != "real"))
    return [_row(*key, figures[key], k) for key in order]


def _row(split: str, _model: str, data: str, evaluation: Mapping[str, Any], k: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "split": split,
        "model": label_of(evaluation),
        "data": data,
        "over": _another_model(evaluation),
    }
    for group in ("all", "long_tail"):
        row[group] = {
            "recall": evaluation["metrics"][group].get(f"recall@{k}"),
            "interval": evaluation["intervals"][group].get(f"recall@{k}"),
            "ndcg": evaluation["metrics"][group].get(f"ndcg@{k}"),
            "gain": evaluation.get("gain", {}).get(group, {}).get(f"recall@{k}"),
            "gain_interval": evaluation.get("gain_intervals", {}).get(group, {}).get(f"recall@{k}"),
        }
    return row


def _another_model(evaluation: Mapping[str, Any]) -> str:
    """The table that gains are over, where it is another model's; else empty."""
    is_another = "gain" in evaluation and evaluation["baseline"]["model"] != evaluation["model"]
    return names_of(evaluation)[1] if is_another else ""


def popularity_rows(evaluation: Evaluation, k: int) -> list[dict[str, Any]]:
    """A row for each group of targets by how often train has the item; `before` is the baseline's, None without one."""
    by_count, baseline = evaluation[BY_TRAIN_COUNT], evaluation.get("baseline")
    before = baseline[BY_TRAIN_COUNT] if baseline else None
    n_targets = sum(by_count["targets"].values())
    return [
        {
            "group": group,
            "targets": targets,
            "taken": targets / n_targets if n_targets else None,
            "now": _figures(by_count, group, k),
            "before": before and _figures(before, group, k),
            "gain": by_count["gain"][group][f"recall@{k}"] if before else None,
            "gain_interval": by_count["gain_intervals"][group][f"recall@{k}"] if before else None,
        }
        for group, targets in by_count["targets"].items()
    ]


def _figures(by_count: Mapping[str, Any], group: str, k: int) -> dict[str, Any]:
    return {
        "hits": by_count["hits"][group][f"hits@{k}"],
        "recall": by_count["metrics"][group][f"recall@{k}"],
        "interval": by_count["intervals"][group][f"recall@{k}"],
        "share": by_count["shares"][group][f"share@{k}"],
    }


def gains_of_models(evaluations: Sequence[Evaluation], k: int, *, split: str) -> dict[str, list[Gain]]:
    """The gain in Recall@K of each model on a split, over all targets and over those of the long tail; none without."""
    measured = [
        evaluation
        for evaluation in evaluations
        if evaluation["split"] == split and f"recall@{k}" in evaluation.get("gain", {}).get("all", {})
    ]
    if not measured:
        return {}
    return {
        name: [
            Gain(
                _label(evaluation),
                evaluation["gain"][group][f"recall@{k}"],
                evaluation["gain_intervals"][group][f"recall@{k}"],
            )
            for evaluation in measured
        ]
        for name, group in (("all targets", "all"), ("targets of the long tail", "long_tail"))
    }


def _label(evaluation: Evaluation) -> str:
    another = _another_model(evaluation)
    return f"{label_of(evaluation)}\nover {another}" if another else label_of(evaluation)
