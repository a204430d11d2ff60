"""Options with values that make no sense, are too large or of another kind."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import typer

from llmi2i_cli.cli.app import app
from tests.faults.children import OUT_OF_TIME, at_second, run
from tests.faults.place import Place
from tests.faults.verdicts import contents, differences, fell_short

NUMBERS = (
    *("0", "-1", "1", "2", "1e999", "inf", "-inf", "nan", "1e-300", "1e300", "0.5", "9223372036854775807"),
    *("9223372036854775808", "99999999999999999999", "-99999999999999999999", "1_000", "٣", "0x10", "1e5", " 7 "),
)
TEXTS = (
    "",
    " ",
    "auto",
    "none",
    "[/u1]",
    "\x1b[31m",
    "-",
    "--",
    "é",
    "\udcff",
    "a,b",
    "/",
    "/dev/null",
    ".",
    "x" * 5000,
)
SECONDS = 5.0  # a run that computes longer has taken the value: there is nothing to see


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case and what fell short in it, empty if it held: a value is wrong usage, or the run ends well."""
    options = _options()
    command, option, takes_number = options[number % len(options)]
    value = rng.choice(NUMBERS if takes_number and rng.random() < 0.8 else TEXTS)
    return f"{command} {option} {value[:40]!r}", _given(place, command, option, value)


def _given(place: Place, command: str, option: str, value: str) -> str:
    step = next((step for step in place.steps if step.stage.name == command), None)
    with place.copy() as workdir:
        rest = [*(step.arguments[1:] if step else _arguments(command, workdir)), option, value]
        if option not in ("-w", "--workdir", "--force") and command != "simulate":
            rest += ["-w", workdir]

        def before() -> None:
            os.chdir(workdir.parent)
            at_second(SECONDS)

        ended = run(command, *rest, before=before)
        if ended.status == OUT_OF_TIME:
            return ""
        if found := fell_short(ended):
            return found
        return differences(contents(workdir), place.expected) if ended.status else ""


def _arguments(command: str, workdir: Path) -> list[object]:
    """What a command that is no stage cannot do without."""
    needed: dict[str, list[object]] = {
        "recommend": ["--model", "swing", "i0"],
        "refit": ["--to", workdir.parent / "served"],
        "simulate": [workdir.parent / "shop"],
        "compare": [workdir / f"i2i/swing-{data}.parquet" for data in ("real", "fused")],
    }
    return needed.get(command, [])


def _options() -> list[tuple[str, str, bool]]:
    """Command, option and whether it takes a number, for all that take a value."""
    group: Any = typer.main.get_command(app)
    return [
        (name, max(option.opts, key=len), option.type_descriptor.annotation in (int, float))
        for name, command in group.commands.items()
        for option in command.params
        if option.param_type_name == "option" and not option.is_flag
    ]
