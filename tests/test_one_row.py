"""What can be chosen by name is one row of a table: a file and a row make a new one, and everything follows from it.

The trials are made on a copy of the package, as somebody would who adds to it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import llmi2i_cli
from tests.stages.shop import prepare_shop

PACKAGE = Path(llmi2i_cli.__file__).parent


class Copy:
    """A copy of the package that can be added to, and its program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(PACKAGE, folder / "llmi2i_cli", ignore=shutil.ignore_patterns("__pycache__"))

    def add_file(self, path: str, text: str) -> None:
        (self.folder / "llmi2i_cli" / path).write_text(text)

    def add_row(self, path: str, row: str, *, before: str) -> None:
        table = self.folder / "llmi2i_cli" / path
        text = table.read_text()
        assert text.count(before) == 1, f"{path} has not one {before!r}"
        table.write_text(text.replace(before, row + before))

    def run(self, *arguments: object) -> str:
        """What the program prints; it has to succeed."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "300"}
        command = [sys.executable, "-m", "llmi2i_cli", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path / "copy")


def test_a_model(copy, tmp_path):
    """Items are near the less their numbers differ; everything that handles models handles it."""
    copy.add_file(
        "i2i/shelf.py",
        """
import numpy as np
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.training import Trained

def train(job, options):
    table = Neighbours.empty(job.histories.n_items, 2)
    rows = np.arange(1, job.histories.n_items - 1)
    table.ids[rows, 0], table.scores[rows, 0] = rows + options.step, 2
    table.ids[rows, 1], table.scores[rows, 1] = rows - 1, 1
    table.ids[table.ids >= job.histories.n_items] = 0
    return Trained(table)
""",
    )
    copy.add_row(
        "choices/models.py",
        """        Model("shelf", "Shelf", "what stands beside it", "llmi2i_cli.i2i.shelf:train",
              model_options.ShelfOptions, {"step": (1, 2)}),
""",
        before='        Model(\n            "text",',
    )
    copy.add_row(
        "choices/model_options.py",
        '@dataclass(frozen=True)\nclass ShelfOptions:\n    step: int = option(1, "places to the right", min=1)\n\n\n',
        before="@dataclass(frozen=True)\nclass TextOptions",
    )
    workdir = prepare_shop(tmp_path)
    helped = copy.run("train-i2i", "--help")
    assert "shelf" in helped
    assert "Shelf: places to the right" in helped
    tuned = json.loads(copy.run("train-i2i", "--model", "shelf", "--tune", "--json", "-w", workdir))
    assert tuned["choice"]["step"] in (1, 2)
    assert len(pl.read_parquet(workdir / "i2i/shelf-real.sweep.parquet")) == 2
    report = json.loads(copy.run("evaluate", "--model", "shelf", "--json", "-w", workdir))
    assert report["protocol"]["trained_with"] == tuned["choice"]
    assert report["protocol"]["tuned"]
    copy.run("export-index", "--model", "shelf", "-w", workdir)
    assert (workdir / "index/shelf-real.parquet").exists()
    assert len(json.loads(copy.run("recommend", "i3", "--model", "shelf", "--json", "-w", workdir))) == 2
    copy.run("train-i2i", "--model", "bm25", "-w", workdir)
    copy.run("train-i2i", "--model", "blend", "--parts", "bm25,shelf", "-w", workdir)
    states = {
        (row["stage"], row["variant"]): row["state"] for row in json.loads(copy.run("status", "--json", "-w", workdir))
    }
    assert states["train-i2i", "shelf real"] == states["evaluate", "shelf real test"] == "done"


def test_a_fuse_strategy(copy, tmp_path, pipeline):
    """Candidates stand before the user's history."""
    copy.add_file(
        "data/prepend.py",
        """
import numpy as np
from llmi2i_cli.data.fusion import Group

def prepend(parts, choice):
    users = np.arange(parts.real.n_users)
    return [Group(users, [parts.candidates(users), parts.history(users)])]
""",
    )
    copy.add_row(
        "choices/strategies.py",
        '        Strategy("prepend", "before the history", "llmi2i_cli.data.prepend:prepend"),\n',
        before='        Strategy("pseudo-user"',
    )
    workdir = tmp_path / "work"
    shutil.copytree(pipeline, workdir)
    assert "prepend, before the history" in copy.run("fuse", "--help")
    copy.run("fuse", "--tune", "--model", "bm25", "--recall-number", 2, "--order", "rank", "-w", workdir)
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet")
    assert set(sweep["strategy"]) == {"append", "pseudo-user", "prepend"}
    copy.run("fuse", "--strategy", "prepend", "--no-tune", "--min-confidence", 0, "-w", workdir)
    fused = pl.read_parquet(workdir / "fuse/interactions.parquet")
    first = fused.group_by("user_id", maintain_order=True).first()
    has_some = fused.filter(source="synthetic")["user_id"].unique()
    assert set(first.filter(pl.col("user_id").is_in(has_some.implode()))["source"]) == {"synthetic"}


def test_a_form_of_the_index(copy, tmp_path, pipeline):
    """Item and nearest neighbour, a line each."""
    copy.add_file(
        "i2i/nearest_lines.py",
        """
def write_nearest(path, neighbours, item_ids):
    pairs = [(item_ids[row], item_ids[int(best)]) for row, best in enumerate(neighbours.ids[:, 0]) if best >= 0]
    path.write_text("".join(f"{item} {nearest}\\n" for item, nearest in pairs))
    return len(pairs)
""",
    )
    copy.add_row(
        "choices/index_forms.py",
        '        IndexForm("nearest", "the nearest item", "llmi2i_cli.i2i.nearest_lines:write_nearest"),\n',
        before='        IndexForm("vespa"',
    )
    workdir = tmp_path / "work"
    shutil.copytree(pipeline, workdir)
    copy.run("export-index", "--model", "swing", "--data", "fused", "--format", "nearest", "-w", workdir)
    table = pl.read_parquet(workdir / "i2i/swing-fused.parquet").filter(rank=1)
    lines = (workdir / "index/swing-fused.nearest").read_text().splitlines()
    assert lines == [f"{item} {nearest}" for item, nearest, *_ in table.iter_rows()]
