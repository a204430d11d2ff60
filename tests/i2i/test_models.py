from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import typer

from llmi2i_cli.cli.app import app
from llmi2i_cli.errors import UsageError
from llmi2i_cli.i2i.bm25 import bm25_neighbours
from llmi2i_cli.i2i.bpr import bpr_neighbours
from llmi2i_cli.i2i.models import DEFAULTS, GRIDS, OPTION_NAMES, complete_options, grid
from llmi2i_cli.i2i.swing import swing_neighbours
from llmi2i_cli.i2i.youtube_dnn import train_youtube_dnn

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "swing": swing_neighbours,
    "bm25": bm25_neighbours,
    "bpr": bpr_neighbours,
    "youtubednn": train_youtube_dnn,
}


@pytest.mark.parametrize("model", DEFAULTS)
def test_the_functions_defaults_are_the_same(model):
    parameters = inspect.signature(FUNCTIONS[model]).parameters
    assert {name: parameters[name].default for name in DEFAULTS[model]} == DEFAULTS[model]


@pytest.mark.parametrize("option", OPTION_NAMES)
def test_help_tells_the_defaults(option):
    program: Any = typer.main.get_command(app)
    command = program.commands["train-i2i"]
    shown = next(parameter.show_default for parameter in command.params if parameter.name == option)
    defaults = [options[option] for options in DEFAULTS.values() if option in options]
    if option == "normalise":
        assert (defaults, shown) == ([False], "no-normalise")
        return
    told = shown.replace(" and ", ", ").split(", ")
    assert [type(default)(text) for default, text in zip(defaults, told, strict=True)] == defaults


def test_options_given_replace_defaults_and_leave_the_grid():
    assert complete_options("bm25", {"b": 0.5}) == {"k1": 1.2, "b": 0.5}
    assert [(point["smoothing"], point["user_weight"]) for point in grid("swing", {"smoothing": 2.0})] == [
        (2.0, "sqrt"),
        (2.0, "one"),
    ]
    assert len(grid("bm25", {})) == len(GRIDS["bm25"]["k1"]) * len(GRIDS["bm25"]["b"])


def test_options_of_another_model_are_refused():
    with pytest.raises(UsageError, match="--smoothing is an option of swing, not of bpr: leave it out"):
        complete_options("bpr", {"smoothing": 1.0})
