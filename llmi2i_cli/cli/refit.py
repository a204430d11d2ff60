"""The command `llmi2i refit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from llmi2i_cli.cli.options import WORKDIR, AsJson, Workdir
from llmi2i_cli.cli.printing import print_json, print_table


def refit(
    workdir: Workdir = WORKDIR,
    to: Annotated[
        Path, typer.Option(help="Work directory to train in: a new one, or that of an earlier refit.", file_okay=False)
    ] = Path("serve"),
    to_split: Annotated[
        Literal["valid", "test"],
        typer.Option(help="Last split to train on; after valid test stays held out, to measure what a refit gives."),
    ] = "test",
    as_json: AsJson = False,
) -> None:
    """Run all stages once more on the whole log, with the choices that validation made, for what is served.

    Example: llmi2i refit -w work --to serve
    """
    from llmi2i_cli.refit.run import refit

    choices = refit(workdir, to, to_split=to_split)
    if as_json:
        print_json(choices)
        return
    rows = [(" ".join((step["stage"], *_variant(step["asked"]))), _listed(step["chosen"])) for step in choices["steps"]]
    rows += [(f"lookup {name}", _listed(lookup)) for name, lookup in choices["lookups"].items()]
    print_table(f"{to}: with the choices of {choices['work']}", ("stage", "chosen"), rows)


def _variant(asked: dict[str, Any]) -> list[str]:
    return [asked["model"], asked["data"], *asked.get("formats", ())] if "data" in asked else []


def _listed(chosen: dict[str, Any]) -> str:
    flat = {**chosen, **chosen.get("model_options", {})}
    return ", ".join(f"{name} {value}" for name, value in flat.items() if name != "model_options")
