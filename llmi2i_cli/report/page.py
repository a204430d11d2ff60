"""A report as one HTML file that needs nothing else: no network, no script; whatever a log holds is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from llmi2i_cli import __version__
from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.plots.drawing import INK, LINE, PAPER, inline_svg
from llmi2i_cli.plots.evaluation import label_of, names_of
from llmi2i_cli.report.contents import Contents

# Colours of a figure that the page's own, light or dark, stand in for.
OF_THE_PAGE = {INK: "currentColor", LINE: "var(--line)", PAPER: "var(--paper)"}


def render(contents: Contents) -> str:
    """The page, UTF-8 text with the same bytes for the same contents."""
    room = files("llmi2i_cli.report")
    sources = {name: (room / name).read_text(encoding="utf-8") for name in ("page.html", "page.css")}
    environment = Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": _figure, "gain": _gain, "bounds": _bounds, "number": _number}
    shown = {each.name: getattr(contents, each.name) for each in fields(contents)}
    return environment.get_template("page.html").render(
        {
            **shown,
            "seconds": contents.seconds,
            "style": Markup(sources["page.css"]),
            "plots": {name: _on_the_page(inline_svg(figure, name)) for name, figure in contents.figures.items()},
            "table_names": [f"{MODELS[model].label}, {data} log" for model, data in contents.tables or ()],
            "ours": names_of(contents.best)[0] if contents.best else "",
            "theirs": names_of(contents.best)[1] if contents.best else "",
            "best_label": label_of(contents.best) if contents.best else "",
            "version": __version__,
        }
    )


def _on_the_page(svg: str) -> Markup:
    for colour, of_the_page in OF_THE_PAGE.items():
        svg = svg.replace(colour, of_the_page)
    return Markup(svg)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _gain(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"


def _bounds(bounds: Sequence[float] | None, *, gain: bool = False) -> str:
    """An interval; empty where there is none."""
    if bounds is None:
        return ""
    form = "+.1%" if gain else ".4f"
    return f"{bounds[0]:{form}} … {bounds[1]:{form}}"


def _number(value: Any) -> str:
    """With thousands apart; a fraction with three digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
