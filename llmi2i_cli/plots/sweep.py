"""What `fuse` has tried: validation Recall@10 by recall number, confidence and order of the candidates (Figure 5)."""

from __future__ import annotations

from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmi2i_cli.choices.strategies import ORDERS
from llmi2i_cli.data.fusion_search import first_round
from llmi2i_cli.plots.drawing import INK, SERIES, in_style, panels


@in_style()
def sweep_figure(sweep: pl.DataFrame) -> Figure:
    """A panel for each order in which a user's candidates come, a line for each confidence that they need.

    Lines are the sweep's first round, in which all candidates are fused alike; the chosen point is a star, wherever
    the later rounds found it, and the real log alone a dashed line.

    Parameters
    ----------
    sweep : ``fuse/sweep.parquet``
    """
    points = first_round(sweep)
    orders = [order for order in ORDERS if order in set(points["order"])] or ["rank"]
    numbers = sorted(set(sweep.filter(pl.col("recall_number") > 0)["recall_number"]))
    thresholds = sorted(set(points["min_confidence"]))
    alone = sweep.filter(recall_number=0, drop_real=0.0)
    chosen = sweep.row(by_predicate=pl.col("chosen"), named=True)
    figure, axes = panels(len(orders), height_inches=4.6)
    for axis, order in zip(axes, orders, strict=True):
        for threshold, (colour, marker) in zip(thresholds, SERIES, strict=False):
            line = points.filter(order=order, min_confidence=threshold).sort("recall_number")
            places = [numbers.index(number) for number in line["recall_number"]]
            label = "any confidence" if threshold == 0 else f"confidence ≥ {threshold:.2f}"
            axis.plot(places, line["valid_recall@10"].to_list(), color=colour, marker=marker, label=label)
        if len(alone):
            axis.axhline(
                alone["valid_recall@10"][0], color=INK, linestyle="--", linewidth=1.2, label="the real log alone"
            )
        if chosen["recall_number"] and order == chosen["order"]:
            _star(axis, numbers.index(chosen["recall_number"]), chosen)
        axis.set_xticks(range(len(numbers)), [str(number) for number in numbers])
        axis.margins(x=0.12)
        axis.set_title(f"first {ORDERS[order]}", fontsize=10, fontweight="normal")
    axes[0].set_ylabel("Recall@10 on validation")
    axes[len(axes) // 2].set_xlabel("recall number (candidates of each user at most)")
    figure.suptitle(
        "Fused with how many candidates, and how sure ones", x=0.01, ha="left", fontweight="bold", fontsize=12
    )
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    return figure


def _star(axis: Axes, place: int, chosen: dict[str, Any]) -> None:
    axis.plot(
        [place],
        [chosen["valid_recall@10"]],
        color=INK,
        marker="*",
        markersize=15,
        linestyle="none",
        zorder=4,
        label=f"chosen: {chosen['strategy']}, {chosen['recall_number']} each",
    )
