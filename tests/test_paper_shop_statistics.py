"""The statistics of logs, and those of the quickstart's shop: it has to stay within what real logs are like."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from llmi2i_cli.cli.simulate import simulate
from tests.conftest import run

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def statistics():
    sys.path.insert(0, str(EXAMPLES / "paper"))
    yield importlib.import_module("shop_statistics")
    sys.path.remove(str(EXAMPLES / "paper"))


def test_the_gini_coefficient_is_half_the_mean_difference(statistics):
    counts = np.array([1, 7, 2, 2, 30])
    differences = np.abs(counts[:, None] - counts).mean()
    assert statistics.gini(counts) == pytest.approx(differences / (2 * counts.mean()))
    assert statistics.gini(np.array([3, 3, 3])) == pytest.approx(0)


def test_the_top_items_are_one_at_least(statistics):
    assert statistics.top_share(np.array([1, 5, 2, 2]), 0.01) == 0.5
    assert statistics.top_share(np.array([1, 5, 2, 2]), 0.5) == 0.7


def test_statistics_of_a_log_counted_by_hand(statistics, tmp_path, capsys):
    (tmp_path / "log.txt").write_text("u a b a c d\nv a b c e\nw b c a new\n")
    (tmp_path / "items.csv").write_text("item_id,title\na,Red pen\nb,Blue pen\nc,Red ink\nd,Cap\ne,Pen\nf,Never\n")
    workdir = tmp_path / "work"
    assert run("prepare", tmp_path / "log.txt", "--items", tmp_path / "items.csv", "-w", workdir) == 0
    (workdir / "evaluate").mkdir()
    (workdir / "evaluate" / "bm25-real-test.json").write_text(
        json.dumps({"model": "bm25", "metrics": {"all": {"recall@10": 0.25}}})
    )
    found = statistics.statistics(workdir)
    expected = {
        "users": 3,
        "catalogue items": 6,
        "interactions": 12,  # what is not in the catalogue is left out
        "density": 12 / (3 * 5),
        "interactions per user": 4,
        "interactions per bought item": 12 / 5,
        "catalogue items never bought": 1 / 6,
        "bought items with 5 interactions or fewer": 1,
        "interactions of the top 1% of items": 4 / 12,
        "users who buy an item twice": 1 / 3,
        "interactions that repeat an earlier one": 1 / 12,
        "words per title": 9 / 6,
        "vocabulary": 6,
        "words of a single title": 4 / 6,  # blue, ink, cap, never
        "test items that the user has already": 0,
        "test items of the long tail": 2 / 3,
        "test items not in train": 1,
        "Recall@10 of bm25, test": 0.25,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    capsys.readouterr()
    statistics.main([str(workdir)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| | work |"
    assert "| catalogue items never bought | 16.7% |" in lines
    assert "| Recall@10 of bm25, test | 0.2500 |" in lines


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """The work directory of the quickstart, BM25 and Swing trained on its real log and evaluated on validation."""
    folder = tmp_path_factory.mktemp("quickstart")
    shop, workdir = folder / "shop", folder / "work"
    assert run("simulate", shop) == 0
    assert run("prepare", shop / "interactions.parquet", "--items", shop / "items.parquet", "-w", workdir) == 0
    for model in ("bm25", "swing", "text"):
        assert run("train-i2i", "--model", model, "-w", workdir) == 0
        assert run("evaluate", "--model", model, "--split", "valid", "-w", workdir) == 0
    return workdir


def test_the_quickstart_makes_the_default_shop():
    sizes = "--users 4500 --items 4000 --interactions 32000"
    assert sizes in (EXAMPLES / "quickstart.sh").read_text()
    assert sizes in (EXAMPLES / "Makefile").read_text()
    defaults = {name: parameter.default for name, parameter in inspect.signature(simulate).parameters.items()}
    assert f"--users {defaults['users']} --items {defaults['items']}" in sizes
    assert sizes.endswith(f" {defaults['interactions']}")


def test_the_default_shop_is_like_real_logs(statistics, quickstart):
    """Within, or close to, what amazon-office, -beauty and -toys span (see examples/paper/NOTES.md)."""
    ranges = {
        "density": (0.0007, 0.0021),
        "interactions per user": (6.7, 8.9),
        "interactions per user, 10% quantile": (4, 5),
        "interactions per user, 50% quantile": (6, 6),
        "interactions per user, 90% quantile": (11, 14),
        "interactions per user, 99% quantile": (11, 43),
        "interactions per bought item": (6.6, 16.4),
        "catalogue items never bought": (0.02, 0.1),
        "bought items with 5 interactions or fewer": (0.18, 0.68),
        "interactions of the top 1% of items": (0.08, 0.123),
        "interactions of the top 10% of items": (0.35, 0.431),
        "Gini coefficient": (0.436, 0.523),
        "users who buy an item twice": (0.15, 0.32),
        "interactions that repeat an earlier one": (0.02, 0.057),
        "words per title": (5.1, 13.2),
        "different words per catalogue item": (0.7, 1.9),
        "words of a single title": (0.2, 0.7),
        "test items of the long tail": (0.066, 0.369),
        "test items not in train": (0.006, 0.081),
        "Recall@10 of swing, valid": (0.09, 0.153),
        "Recall@10 of bm25, valid": (0.08, 0.139),
        "Recall@10 of text, valid": (0.07, 0.14),
    }
    found = statistics.statistics(quickstart)
    outside = {name: found[name] for name, (low, high) in ranges.items() if not low <= found[name] <= high}
    assert not outside
    assert 1.0 < found["Recall@10 of swing, valid"] / found["Recall@10 of bm25, valid"] < 1.15
