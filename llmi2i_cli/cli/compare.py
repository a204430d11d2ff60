"""The command `llmi2i compare`; its gates come from their table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from llmi2i_cli.choices.gates import Gates
from llmi2i_cli.choices.options import spelled
from llmi2i_cli.cli.declared import with_declared
from llmi2i_cli.cli.options import AsJson, Data, I2IModel
from llmi2i_cli.cli.printing import print_json, print_table

INDEX = "an exported index, a table of i2i/, or a work directory for its table"


@with_declared(Gates)
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help=f"The index that is served: {INDEX}.")],
    new: Annotated[
        Path, typer.Argument(metavar="NEW", help="The index that is to take its place, in any of the same forms.")
    ],
    model: I2IModel = "swing",
    data: Data = "real",
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the figures and gates into this .png or .svg (extra: plots).", dir_okay=False),
    ] = None,
    as_json: AsJson = False,
    **gates: Any,
) -> None:
    """Compare a new index with the one that is served; exit status 1 when it fails a gate.

    Example: llmi2i compare served/blend-fused.parquet work/index/blend-fused.parquet --max-lost 0.02
    """
    from llmi2i_cli.stages.compare import check_gates, compare

    if plot:
        from llmi2i_cli.plots.requirements import require_plots

        require_plots("--plot")
        if plot.suffix not in (".png", ".svg"):
            raise typer.BadParameter(f"--plot {plot}: end the name with .png or .svg")
    result = compare(old, new, model=model, data=data, gates=Gates(**gates))
    if as_json:
        print_json(result)
    else:
        _print(result)
    if plot:
        from llmi2i_cli.plots.beside_results import plot_gates

        plot_gates(result["gates"], plot)
    check_gates(result)


def _print(result: Mapping[str, Any]) -> None:
    sides = ("old", "new")
    rows: list[tuple[str, ...]] = [("index", *(result[side]["path"] for side in sides), "", "", "")]
    about = {"rows": "items with a row", "items": "items in some row's first 10", "neighbours": "neighbours per row"}
    rows += [(what, *(f"{result[side][name]:,.4g}" for side in sides), "", "", "") for name, what in about.items()]
    for name, gate in result["gates"].items():
        figure = "" if gate["figure"] is None else f"{gate['figure']:.4g}"
        held = {True: "yes", False: "no", None: "not known"}[gate["passed"]]
        rows.append((name[4:], "", "", figure, f"{spelled(name)} {gate['bound']:g}", held))
    columns = ("", "OLD", "NEW", "figure", "gate", "passed")
    print_table("NEW beside OLD", columns, rows, numeric=columns[1:4])
