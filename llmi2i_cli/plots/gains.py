"""Gains with their 95% intervals: what is better for certain, and what may be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from llmi2i_cli.plots.drawing import FUSED, GREY, INK, PAPER, in_style, panels


class Gain(NamedTuple):
    """A row of the figure: 0.25 is +25%; both are None where there is none."""

    label: str
    gain: float | None
    interval: Sequence[float] | None


@in_style()
def gains_figure(gains_by_panel: Mapping[str, Sequence[Gain]], *, title: str, metric: str, over: str) -> Figure:
    """Panels of gains with the same labels, the first row on top; each panel is on a scale of its own.

    A point is filled where its whole interval lies on one side of zero.
    """
    labels = [gain.label for gain in next(iter(gains_by_panel.values()))]
    figure, axes = panels(len(gains_by_panel), height_inches=1.9 + 0.42 * len(labels))
    for axis, (name, gains) in zip(axes, gains_by_panel.items(), strict=True):
        _draw(axis, gains)
        axis.set_title(name, fontsize=10, fontweight="normal")
        axis.grid(axis="y", visible=False)
        axis.grid(axis="x", visible=True)
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.margins(x=0.22)
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.4, -0.6)
    figure.supxlabel(f"gain in {metric} over {over}, with 95% interval\nhollow: zero is inside", fontsize=11)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _draw(axis: Axes, gains: Sequence[Gain]) -> None:
    axis.axvline(0, color=INK, linewidth=1.2)
    for place, (_, gain, interval) in enumerate(gains):
        if gain is None:
            continue
        low, high = interval or (gain, gain)
        is_certain = interval is not None and (low > 0 or high < 0)
        colour = FUSED if is_certain else GREY
        axis.plot([low, high], [place, place], color=colour, linewidth=2.4, solid_capstyle="round")
        face = colour if is_certain else PAPER
        axis.plot([gain], [place], color=colour, marker="o", markersize=9, markerfacecolor=face)
        axis.annotate(
            f"{gain:+.1%}", (high, place), xytext=(10, 0), textcoords="offset points", va="center", fontsize=10
        )
