"""What a model finds, and what it recommends, by how often train has the item: from new items to bestsellers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from llmi2i_cli.plots.drawing import FUSED, GREY, REAL, in_style, panels

STYLES = ((FUSED, "s"), (REAL, "o"))  # of what is measured, and of what it is compared with, which stands first
ByTrainCount = Mapping[str, Any]  # what `evaluate` calls by_train_count


@in_style()
def recall_by_popularity(figures_by_name: Mapping[str, ByTrainCount], *, k: int, title: str) -> Figure:
    """Recall@K with its 95% interval, of each group of targets and each table; groups without targets are left out."""
    targets = next(iter(figures_by_name.values()))["targets"]
    groups = [group for group, count in targets.items() if count]
    figure, [axis] = panels()
    for number, (name, by_count) in enumerate(figures_by_name.items()):
        colour, marker = STYLES[len(figures_by_name) - 1 - number]
        places = [place + 0.16 * (number - (len(figures_by_name) - 1) / 2) for place in range(len(groups))]
        recalls = [by_count["metrics"][group][f"recall@{k}"] for group in groups]
        intervals = [by_count["intervals"][group][f"recall@{k}"] for group in groups]
        lows, highs = (
            [each[end] if each else at for each, at in zip(intervals, recalls, strict=True)] for end in (0, 1)
        )
        axis.vlines(places, lows, highs, color=colour, linewidth=2.4)
        axis.plot(places, recalls, color=colour, marker=marker, markersize=8, linestyle="none", label=name)
    _label(axis, [f"{group}\n{targets[group]:,} targets" for group in groups])
    axis.set_ylim(bottom=0)
    axis.set_ylabel(f"Recall@{k}, with 95% interval")
    _finish(figure, axis, title)
    return figure


@in_style()
def recommended_by_popularity(figures_by_name: Mapping[str, ByTrainCount], *, k: int, title: str) -> Figure:
    """What share of the first K places each group's items hold, by each table, beside the share of the targets."""
    first = next(iter(figures_by_name.values()))
    groups = list(first["targets"])
    n_targets = sum(first["targets"].values())
    bars = [
        (f"recommended: {name}", colour, [by_count["shares"][group][f"share@{k}"] for group in groups])
        for (name, by_count), (colour, _) in zip(
            figures_by_name.items(), STYLES[len(figures_by_name) - 1 :: -1], strict=True
        )
    ]
    wanted = [first["targets"][group] / max(1, n_targets) for group in groups]
    bars.append(("what users took", GREY, wanted))
    figure, [axis] = panels()
    width = 0.8 / len(bars)
    for number, (label, colour, shares) in enumerate(bars):
        places = [place + width * (number - (len(bars) - 1) / 2) for place in range(len(groups))]
        axis.bar(places, shares, width * 0.92, color=colour, label=label)
    _label(axis, groups)
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.set_ylabel(f"share of the first {k} places")
    _finish(figure, axis, title)
    return figure


def _label(axis: Axes, labels: list[str]) -> None:
    axis.set_xticks(range(len(labels)), labels)
    axis.set_xlim(-0.6, len(labels) - 0.4)
    axis.set_xlabel("how often train has the item (interactions)")


def _finish(figure: Figure, axis: Axes, title: str) -> None:
    axis.legend(loc="upper left")
    axis.margins(y=0.15)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
