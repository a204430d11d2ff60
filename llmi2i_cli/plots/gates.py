"""A new index beside the old one: how far each figure stands from its gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from llmi2i_cli.plots.drawing import BLUE, GREY, INK, VERMILION, in_style, panels


@in_style()
def gates_figure(gates: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A bar for each figure that is known, red where it failed, and a line at the bound with the side that passes.

    Parameters
    ----------
    gates : as `compare` tells them: ``min_X`` or ``max_X`` -> ``figure``, ``bound``, ``passed``
    """
    figure, [axis] = panels(height_inches=1.5 + 0.5 * len(gates))
    for place, (name, gate) in enumerate(gates.items()):
        value = gate["figure"]
        colour = {True: BLUE, False: VERMILION, None: GREY}[gate["passed"]]
        axis.barh(place, value or 0, 0.5, color=colour)
        axis.plot([gate["bound"]] * 2, [place - 0.4, place + 0.4], color=INK, linewidth=2)
        side = "at least" if name.startswith("min_") else "at most"
        shown = "not known" if value is None else f"{value:.3g}"
        label = f"{shown} ({side} {gate['bound']:g})"
        end = max(value or 0, gate["bound"])
        axis.annotate(label, (end, place), xytext=(8, 0), textcoords="offset points", va="center", fontsize=10)
    axis.set_yticks(range(len(gates)), [name[4:] for name in gates])
    axis.set_ylim(len(gates) - 0.4, -0.6)
    axis.set_xlim(left=0)
    axis.margins(x=0.35)
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", visible=True)
    axis.set_xlabel("lost, overlap: share; the others: multiple of the old index's (line: the gate)")
    figure.suptitle("A new index beside the old one", x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure
