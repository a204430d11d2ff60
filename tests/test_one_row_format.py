"""A further input format is one file and one row: the command line, its help and the recognition follow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import llmi2i_cli

READER = """
import polars as pl

from llmi2i_cli.data.table_file import LINE
from llmi2i_cli.data.text import read_blocks


class PipesFile:
    row_word = "line"

    def __init__(self, path):
        self.path, self.columns = path, ["user_id", "item_id", "timestamp"]

    def chunks(self, ids, others=()):
        for block in read_blocks(self.path):
            rows = [line.split("|") for line in block.data.decode().splitlines()]
            frame = pl.DataFrame(rows, self.columns, orient="row")
            yield frame.with_row_index(LINE, block.first_line).select(*ids, *others, pl.col(LINE).cast(pl.Int64))
"""
ROW = """
        InputFormat(
            "pipes",
            "USER, ITEM and TIME between bars",
            "llmi2i_cli.data.pipes:PipesFile",
            suffixes=(".pipes",),
            has_named_columns=False,
        ),
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, in which pipes are a format."""
    folder = tmp_path_factory.mktemp("copy")
    source = Path(llmi2i_cli.__file__).parent
    shutil.copytree(source, folder / "llmi2i_cli", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "llmi2i_cli/data/pipes.py").write_text(READER)
    table = folder / "llmi2i_cli/choices/formats.py"
    before, last_row, after = table.read_text().rpartition("\n        ),\n")
    table.write_text(before + last_row + ROW.lstrip("\n") + after)
    return folder


def program(package: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What `python -m llmi2i_cli` of that package does."""
    command = [sys.executable, "-m", "llmi2i_cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(package), "COLUMNS": "500"}
    return subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "options"), [("log.pipes", ()), ("log.txt", ("--format", "pipes"))])
def test_prepare_reads_it_by_name_and_when_asked(package, tmp_path, name, options):
    (tmp_path / name).write_text("u|b|20\nu|a|10\nv|a|30\n")
    done = program(package, "prepare", tmp_path / name, *options, "--split", "none", "-w", tmp_path / "w")
    assert (done.returncode, done.stderr) == (0, "")
    assert pl.read_parquet(tmp_path / "w/prepare/interactions.parquet").rows() == [
        ("u", "a", 10, "train"),
        ("u", "b", 20, "train"),
        ("v", "a", 30, "train"),
    ]


def test_the_help_tells_of_it(package):
    done = program(package, "prepare", "--help")
    assert "csv|sequences|pipes>" in done.stdout
    assert "pipes: USER, ITEM and TIME between bars" in done.stdout


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("u|a|1\nu||2\n", (), "log.pipes, line 2: 'item_id' is missing"),
        ("u|a|1\n", ("--user-column", "x"), "pipes name no columns: leave out --user-column"),
        ("u|a|1\n", ("--items", "log.pipes"), "log.pipes: --items needs a file with named columns"),
    ],
)
def test_mistakes_are_named_as_in_any_format(package, tmp_path, content, options, message):
    (tmp_path / "log.pipes").write_text(content)
    options = [tmp_path / each if each == "log.pipes" else each for each in options]
    done = program(package, "prepare", tmp_path / "log.pipes", *options, "-w", tmp_path / "w")
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
