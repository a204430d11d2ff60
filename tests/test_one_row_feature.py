"""A further feature of the discriminator is one file and one row: shown on a copy of the package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import polars as pl
import pytest

import llmi2i_cli
from tests.conftest import run

FILE = '''
import numpy as np


def words(_histories, texts):
    """How many words the candidate's text has."""
    counts = np.array([len(text.split()) for text in texts])
    return lambda candidates: counts[candidates.items]
'''
ROW = '        Feature("words", "words of its text", "llmi2i_cli.i2i.feature_words:words"),\n'
GIVEN = ("--negatives", "uniform", "--negatives-per-positive", "1", "--epochs", "0.1", "--batch-size", "64")


@pytest.fixture
def copy(tmp_path):
    """A folder with the package, a feature richer."""
    package = tmp_path / "copy/llmi2i_cli"
    shutil.copytree(llmi2i_cli.__path__[0], package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "i2i/feature_words.py").write_text(FILE)
    table = package / "choices/evidence.py"
    before, last, after = table.read_text().partition('        Feature("rank"')
    assert last
    table.write_text(before + ROW + last + after)
    return package.parent


def test_sft_disc_learns_it_and_filter_computes_it(copy, pipeline, tmp_path, capsys):
    workdir = tmp_path / "work"
    for folder in ("prepare", "sft-gen", "synthesize", "sft-disc"):
        shutil.copytree(pipeline / folder, workdir / folder)

    def run_copy(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "llmi2i_cli", *map(str, arguments), "-w", str(workdir)]
        return subprocess.run(
            command,
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            check=False,
        )

    trained = run_copy("sft-disc", *GIVEN)
    assert trained.returncode == 0, trained.stderr
    model = workdir / "sft-disc/model"
    edges = json.loads((model / "feature_buckets.json").read_text())["edges"]
    assert list(edges) == ["bm25", "text", "popularity", "logprob", "words", "rank"]
    counts = pl.read_parquet(workdir / "prepare/items.parquet")["text"].str.split(" ").list.len()
    assert edges["words"]
    assert counts.min() <= edges["words"][0] <= edges["words"][-1] <= counts.max()  # type: ignore[operator]
    assert json.loads((model / "llmi2i.json").read_text())["n_evidence"] == 6 * 16
    judged = run_copy("filter")
    assert judged.returncode == 0, judged.stderr
    assert len(pl.read_parquet(workdir / "filter/scored.parquet")) > 0

    capsys.readouterr()
    assert run("filter", "--force", "-w", workdir) == 1  # the package without the row
    assert "was trained with other features (words) than there are now" in capsys.readouterr().err
