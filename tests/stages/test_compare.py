"""The gate before an index is published: what breaks at night is held back, and said in one line."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest

from tests.conftest import as_own
from tests.stages.shop import N_ITEMS, prepare_shop, run


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A work directory with a table, its validation recall and exported indexes. Not to be written to."""
    workdir = prepare_shop(tmp_path_factory.mktemp("served"))
    formats = ["--format", "parquet", "--format", "jsonl", "--format", "mmap"]
    assert run("train-i2i", "--top-k", 12, "-w", workdir) == 0
    assert run("evaluate", "--split", "valid", "-w", workdir) == 0
    assert run("export-index", *formats, "-w", workdir) == 0
    return workdir


def compared(capsys, *arguments: object):
    """Exit status, what `compare` prints with --json, and its line on stderr."""
    capsys.readouterr()
    status = run("compare", *arguments, "--json")
    output = capsys.readouterr()
    return status, json.loads(output.out), output.err


def test_every_form_of_one_index_is_the_same(served, capsys):
    forms = [
        served,
        served / "i2i/swing-real.parquet",
        *(served / f"index/swing-real.{f}" for f in ("parquet", "jsonl", "mmap")),
    ]
    for new in forms:
        status, result, error = compared(capsys, served, new)
        assert (status, error) == (0, "")
        assert [result[name] for name in ("lost", "gained", "coverage", "overlap", "popularity")] == [0, 0, 1, 1, 1]
        assert {**result["new"], "path": "", "recall": 0} == {**result["old"], "path": "", "recall": 0}
        assert result["new"]["rows"] == pl.read_parquet(forms[1])["item_id"].n_unique()
    report = json.loads((served / "evaluate/swing-real-valid.json").read_text())
    _, result, _ = compared(capsys, served, served)
    assert result["new"]["recall"] == report["metrics"]["all"]["recall@10"] > 0
    assert result["gates"]["min_recall"] == {"figure": 1.0, "bound": 0.9, "passed": True}


def without_half(table):
    kept = [f"i{number}" for number in range(N_ITEMS // 2)]
    return table.filter(pl.col("item_id").is_in(kept), pl.col("neighbour_id").is_in(kept)).with_columns(
        rank=pl.int_range(1, pl.len() + 1).over("item_id").cast(pl.Int32)
    )


BROKEN = {
    "half the catalogue gone": (without_half, "lost is 0.5 (--max-lost 0.05)"),
    "another shop": (lambda t: t.with_columns(pl.col("item_id", "neighbour_id") + "x"), "lost is 1 (--max-lost 0.05)"),
    "one bestseller in all rows": (
        lambda t: t.filter(rank=1).with_columns(neighbour_id=pl.col("neighbour_id").mode().sort().first()),
        "(--min-coverage 0.8)",
    ),
    "rows of other items": (
        lambda t: t.sort("neighbour_id", "item_id").with_columns(
            item_id=pl.lit("i") + ((pl.col("item_id").str.slice(1).cast(pl.Int64) + 17) % N_ITEMS).cast(pl.String)
        ),
        "(--min-overlap 0.2)",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_breaks_at_night_fails_a_gate(served, tmp_path, capsys, broken):
    change, message = BROKEN[broken]
    change(pl.read_parquet(served / "i2i/swing-real.parquet")).write_parquet(tmp_path / "new.parquet")
    status, result, error = compared(capsys, served, tmp_path / "new.parquet")
    assert status == 1
    assert message in error
    assert error.startswith(f"Error: {tmp_path}/new.parquet must not take the place of the old index: ")
    assert error.count("\n") == 1
    failed = [name for name, gate in result["gates"].items() if gate["passed"] is False]
    assert error.count("(--") == len(failed) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.clear(), "holds no neighbour of any item"),
        (lambda t: t.with_columns(score=pl.lit(float("nan"), pl.Float32)), "has a neighbour with the score nan"),
        (lambda t: t.drop("score"), "has no column 'score'"),
    ],
    ids=["empty", "no scores", "no column"],
)
def test_what_cannot_be_served_is_no_comparison(served, tmp_path, capsys, change, message):
    change(pl.read_parquet(served / "i2i/swing-real.parquet")).write_parquet(tmp_path / "new.parquet")
    capsys.readouterr()
    assert run("compare", served, tmp_path / "new.parquet", "--json") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err
    assert output.err.count("\n") == 1


def test_gates_are_options(served, tmp_path, capsys):
    without_half(pl.read_parquet(served / "i2i/swing-real.parquet")).write_parquet(tmp_path / "new.parquet")
    open_gates = ["--max-lost", 1, "--min-coverage", 0, "--max-popularity", 9]
    status, result, error = compared(capsys, served, tmp_path / "new.parquet", *open_gates)
    assert (status, error) == (0, "")
    assert result["gates"]["max_lost"] == {"figure": result["lost"], "bound": 1, "passed": True}
    assert run("compare", served, served, "--max-lost", 2) == 2


def test_the_recall_that_is_asked_for_has_to_be_known(served, tmp_path, capsys):
    shutil.copytree(served, tmp_path / "work")
    status, result, _ = compared(capsys, served, served / "i2i/swing-real.parquet")
    assert (status, result["gates"]["min_recall"]["passed"]) == (0, None)
    status, result, error = compared(capsys, served, served / "i2i/swing-real.parquet", "--min-recall", 0.5)
    assert (status, result["gates"]["min_recall"]["passed"]) == (1, False)
    assert "recall is not known (--min-recall 0.5)" in error
    # a table that was trained again has another recall than the one that was measured
    assert run("train-i2i", "--top-k", 3, "-w", tmp_path / "work") == 0
    status, result, error = compared(capsys, served, tmp_path / "work")
    assert (status, result["new"]["recall"]) == (0, None)
    assert "its recall is not known" in error
    assert run("evaluate", "--split", "valid", "--recent", 1, "-w", tmp_path / "work") == 0
    status, result, error = compared(capsys, served, tmp_path / "work", "--min-recall", 1.5, "--min-overlap", 0)
    assert (status, result["recall"]) == (1, result["new"]["recall"] / result["old"]["recall"])
    assert "--min-recall 1.5" in error


def test_a_table_that_was_changed_is_refused(served, tmp_path, capsys):
    shutil.copytree(served, tmp_path / "work")
    path = tmp_path / "work/i2i/swing-real.parquet"
    without_half(pl.read_parquet(path)).write_parquet(path)
    assert run("compare", served, tmp_path / "work") == 1
    assert "was changed after" in capsys.readouterr().err
    as_own(tmp_path / "work", "i2i/swing-real.parquet")
    assert run("compare", served, tmp_path / "work", "--model", "bm25") == 1
    assert "run `llmi2i train-i2i --model bm25 --data real" in capsys.readouterr().err


def test_what_people_see(served, capsys):
    capsys.readouterr()
    assert run("compare", served, served) == 0
    shown = capsys.readouterr().out
    assert "--max-lost 0.05" in shown
    assert "items with a row" in shown


def test_figures_and_gates_are_drawn_where_asked(served, tmp_path, capsys):
    for ending in ("png", "svg"):
        assert run("compare", served, served, "--plot", tmp_path / f"gates.{ending}") == 0
    assert "1 (at least 0.9)" in (tmp_path / "gates.svg").read_text()
    assert (tmp_path / "gates.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert run("compare", served, served, "--plot", tmp_path / "gates.pdf") == 2
    assert "gates.pdf: end the name with .png or .svg" in capsys.readouterr().err
    assert run("compare", served, served, "--plot", tmp_path / "absent/gates.svg") == 1
    assert "gates.svg cannot be written" in capsys.readouterr().err
