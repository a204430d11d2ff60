"""How all figures look, and how they are written: PNG and SVG with the same bytes every time.

Colours are those that Okabe and Ito chose for the colour-blind (2008), told apart by markers, too. A figure is 8 inches
wide, 800 px at 100 dpi, and its text is 11 points high. `INK`, `LINE` and `PAPER` are all that a page with a dark
background has to change in an SVG.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmi2i_cli.files.atomic import replacing

INK, LINE, PAPER = "#1b1d21", "#c9ccd1", "#fefefe"
BLUE, VERMILION, GREEN, ORANGE, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#85888f"
REAL, FUSED = BLUE, VERMILION
SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PURPLE, "D"), (VERMILION, "v"), (GREY, "P"))  # colour and marker
WIDTH_INCHES = 8.0
METADATA: Mapping[str, Any] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}  # by ending
PNG_DPI = 200  # sharp at 800 px on a fine screen, too

STYLE: Mapping[str, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],  # the one that matplotlib brings along
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "svg.fonttype": "none",  # text stays text: smaller, and found by a search
    "svg.hashsalt": "llmi2i",
}


def in_style() -> Any:
    """A context, or decorator, in which figures are drawn: `STYLE` on matplotlib's own defaults, not on the user's."""
    return matplotlib.style.context(["default", dict(STYLE)])


def panels(n_panels: int = 1, *, height_inches: float = 4.5) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side that share their vertical axis."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    axes = figure.subplots(1, n_panels, sharey=True, squeeze=False)
    return figure, list(axes[0])


def write_pictures(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write each figure as NAME.png and NAME.svg, each whole or not at all; returns the paths."""
    written = []
    for name, figure in figures.items():
        for ending in METADATA:
            path = folder / f"{name}.{ending}"
            write_picture(figure, path)
            written.append(path)
    return written


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure in the form that the name's ending tells, one of `METADATA`; whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(_bytes_of(figure, path.suffix.removeprefix(".")))


def inline_svg(figure: Figure, name: str) -> str:
    """A figure as an ``<svg>`` element without background: its ids begin with `name`, so that a page can hold many."""
    text = _bytes_of(figure, "svg", transparent=True).decode()
    element = text[text.index("<svg") :]
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", element)


def _bytes_of(figure: Figure, ending: str, **options: Any) -> bytes:
    written = io.BytesIO()
    with in_style():
        figure.savefig(written, format=ending, dpi=PNG_DPI, metadata=METADATA[ending], **options)
    return written.getvalue()
