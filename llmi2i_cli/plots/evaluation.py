"""The figures of one evaluation, from what `evaluate` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.plots.gains import Gain, gains_figure
from llmi2i_cli.plots.popularity import recall_by_popularity, recommended_by_popularity

Evaluation = Mapping[str, Any]  # evaluate/MODEL-DATA-SPLIT.json


def evaluation_figures(evaluation: Evaluation) -> dict[str, Figure]:
    """By name ``recall-by-popularity``, ``recommended`` and, where there is a baseline, ``gains``; at the largest K."""
    k = largest_k(evaluation)
    ours, theirs = names_of(evaluation)
    figures_by_name = {ours: evaluation["by_train_count"]}
    if baseline := evaluation.get("baseline"):
        figures_by_name = {theirs: baseline["by_train_count"], **figures_by_name}
    where = f"{label_of(evaluation)}, {evaluation['split']} split"
    found, recommended = (f"What is {done}, by popularity ({where})" for done in ("found", "recommended"))
    figures = {
        "recall-by-popularity": recall_by_popularity(figures_by_name, k=k, title=found),
        "recommended": recommended_by_popularity(figures_by_name, k=k, title=recommended),
    }
    if gains := gains_by_group(evaluation, k):
        title, over = f"What is gained ({where})", f"the {theirs}"
        figures["gains"] = gains_figure({"": gains}, title=title, metric=f"Recall@{k}", over=over)
    return figures


def gains_by_group(evaluation: Evaluation, k: int) -> list[Gain]:
    """The gain in Recall@K of all targets, of the long tail, of the others and by popularity, where there is one."""
    if "gain" not in evaluation:
        return []
    families = (("{}", evaluation), ("{} times in train", evaluation["by_train_count"]))
    return [
        Gain(
            label.format(group.replace("_", " ")), gain[f"recall@{k}"], figures["gain_intervals"][group][f"recall@{k}"]
        )
        for label, figures in families
        for group, gain in figures["gain"].items()
        if gain[f"recall@{k}"] is not None
    ]


def names_of(evaluation: Evaluation) -> tuple[str, str]:
    """What is measured and what it is compared with, told apart by their logs, or by models and logs."""
    baseline = evaluation.get("baseline", evaluation)
    both = (evaluation, baseline)
    if both[0]["model"] == both[1]["model"]:
        ours, theirs = (f"{each['data']} log" for each in both)
    else:
        ours, theirs = (f"{label_of(each)}, {each['data']} log" for each in both)
    return ours, theirs


def largest_k(evaluation: Evaluation) -> int:
    """The largest cut-off that was measured."""
    return max(int(name.split("@")[1]) for name in evaluation["metrics"]["all"])


def label_of(evaluation: Evaluation) -> str:
    """The model as people write it."""
    model = evaluation["model"]
    return MODELS[model].label if model in MODELS else model.capitalize()
