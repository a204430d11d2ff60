"""The table of models: options with their bounds, defaults that are said once, grids, and who ranks how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.models import MODELS, files_of, has_variant, rankings_of
from llmi2i_cli.choices.options import declared
from llmi2i_cli.cli.app import app
from llmi2i_cli.errors import UsageError


def commands() -> Any:
    program: Any = typer.main.get_command(app)
    return program.commands


@pytest.mark.parametrize("row", MODELS.values(), ids=MODELS)
def test_every_option_is_on_the_command_line_with_its_default_and_meaning(row):
    parameters = {each.name: each for each in commands()["train-i2i"].params}
    for name, (kind, default, about) in declared(row.options).items():
        told = parameters[name].show_default.split(" or ")
        if kind is bool:
            assert told == [name if default else f"no-{name}"]
        else:
            assert default in [kind(text) for text in told]
        assert row.label in parameters[name].help
        assert about.help in parameters[name].help


@pytest.mark.parametrize("row", MODELS.values(), ids=MODELS)
def test_the_defaults_and_every_point_of_the_grid_are_within_the_bounds(row):
    assert row.complete({}) == {name: default for name, (_, default, _) in declared(row.options).items()}
    for point in row.points({}):
        assert row.complete(point) == point


@pytest.mark.parametrize("row", MODELS.values(), ids=MODELS)
def test_the_function_takes_a_job_and_the_options(row):
    annotations = load(row.train).__annotations__
    accepted = {each.__name__ for each in row.options.__mro__}  # a row may have defaults of its own
    assert annotations["job"] == "Job" and annotations["options"] in accepted


@pytest.mark.parametrize("command", ["train-i2i", "evaluate", "export-index", "recommend"])
def test_every_model_can_be_named(command):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "500"})
    for name in MODELS:
        assert name in result.output


def test_options_given_replace_defaults_and_leave_the_grid():
    assert MODELS["bm25"].complete({"b": 0.5}) == {"k1": 1.2, "b": 0.5}
    points = MODELS["swing"].points({"smoothing": 2.0})
    assert [(point["smoothing"], point["user_weight"]) for point in points] == [(2.0, "sqrt"), (2.0, "one")]
    assert len(MODELS["bm25"].points({})) == len(MODELS["bm25"].grid["k1"]) * len(MODELS["bm25"].grid["b"])


@pytest.mark.parametrize(
    "model, given, message",
    [
        ("bpr", {"smoothing": 1.0}, "--smoothing is an option of swing, not of bpr: leave it out"),
        ("bm25", {"learning_rate": 1}, "--learning-rate is an option of bpr and youtubednn, not of bm25: leave it out"),
        ("bm25", {"b": 1.5}, "--b is at most 1, not 1.5"),
        ("bm25", {"b": float("nan")}, "--b is at least 0, not nan"),
        ("swing", {"smoothing": -1.0}, "--smoothing is at least 0, not -1.0"),
        ("bpr", {"regularization": float("inf")}, "--regularization is a finite number, not inf"),
    ],
)
def test_options_of_another_model_or_out_of_bounds_are_refused(model, given, message):
    with pytest.raises(UsageError) as raised:
        MODELS[model].complete(given)
    assert str(raised.value) == message


def test_the_files_that_a_model_is_made_from():
    assert files_of("vectors", {"item_vectors": "a/b.parquet"}) == (Path("a/b.parquet"),)
    assert files_of("bm25", {}) == ()


def test_tables_that_read_no_log_have_one_variant():
    with_one = {name for name in MODELS if not has_variant(name, "fused")}
    assert with_one == {"text", "vectors", "embedding", "next-item"}


def test_who_ranks_how():
    assert rankings_of("swing") == ("index",)
    assert rankings_of("youtubednn") == ("user-vectors", "index")
    assert rankings_of("generator") == ("generator",)
