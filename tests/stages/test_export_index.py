from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.prepared import read_catalogue, read_histories
from llmi2i_cli.evaluation.retrieve import rank_one, retrieve
from llmi2i_cli.i2i.neighbour_table import read_neighbours
from llmi2i_cli.i2i.served_index import ServedIndex
from tests.conftest import as_own
from tests.stages.shop import answer, prepare_shop, run


@pytest.fixture
def workdir(tmp_path):
    workdir = prepare_shop(tmp_path)
    assert run("train-i2i", "--top-k", 8, "-w", workdir) == 0
    return workdir


def test_all_forms_hold_the_same_index(workdir, capsys):
    formats = ["--format", "parquet", "--format", "jsonl", "--format", "mmap"]
    written = answer(capsys, "export-index", "--top-k", 5, *formats, "-w", workdir)
    folder = workdir / "index"
    assert [row["path"] for row in written] == [
        str(folder / f"swing-real.{form}") for form in ("parquet", "jsonl", "mmap")
    ]

    trained = pl.read_parquet(workdir / "i2i/swing-real.parquet").filter(pl.col("rank") <= 5)
    assert pl.read_parquet(folder / "swing-real.parquet").equals(trained)

    expected: dict[str, list] = {item: [] for item in read_catalogue(workdir).ids}
    for item, neighbour, _, score in trained.iter_rows():
        expected[item].append((neighbour, score))
    lines = [json.loads(line) for line in (folder / "swing-real.jsonl").read_text().splitlines()]
    index = ServedIndex.open(folder / "swing-real.mmap")
    assert [line["item_id"] for line in lines] == list(expected)
    for line in lines:
        scores = np.array(line["scores"], np.float32).tolist()  # written so that they come back exactly
        assert list(zip(line["neighbour_ids"], scores, strict=True)) == expected[line["item_id"]]
        assert index.neighbours_of(line["item_id"]) == expected[line["item_id"]]


def test_the_served_index_ranks_as_evaluate_does(workdir):
    assert run("export-index", "--format", "mmap", "-w", workdir) == 0
    index = ServedIndex.open(workdir / "index/swing-real.mmap")
    ids, queries = read_catalogue(workdir).ids, read_histories(workdir)
    expected = retrieve(read_neighbours(workdir, "swing", "real", ids), queries, recent=100, top_n=6, exclude=queries)
    for user in range(20):
        query = index.rows_of([ids[int(item)] for item in queries.row(user)])
        looked_up, places = index.neighbours(query), np.arange(len(query), dtype=np.int32)
        found, _ = rank_one(looked_up.ids, looked_up.scores, index.tie_ranks, places, exclude=query, top_n=6)
        assert found.tolist() == [item for item in expected.ids[user].tolist() if item >= 0]
        assert len(found)


def test_what_is_up_to_date_is_left_alone(workdir, capsys):
    assert run("export-index", "--format", "parquet", "-w", workdir) == 0
    before = (workdir / "index/swing-real.parquet").stat().st_mtime_ns
    assert run("export-index", "--format", "parquet", "--format", "jsonl", "-w", workdir) == 0
    assert "export-index: swing-real.parquet is up to date" in capsys.readouterr().err
    assert (workdir / "index/swing-real.parquet").stat().st_mtime_ns == before
    assert (workdir / "index/swing-real.jsonl").exists()


def test_a_foreign_table_of_neighbours_is_refused(workdir, capsys):
    path = workdir / "i2i/swing-real.parquet"
    as_own(workdir, "i2i/swing-real.parquet")
    pl.read_parquet(path).with_columns(
        neighbour_id=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("nobody")).otherwise("neighbour_id")
    ).write_parquet(path)
    assert run("export-index", "-w", workdir) == 1
    assert "item_id 'nobody' is not in prepare/: it belongs to another log" in capsys.readouterr().err
    pl.read_parquet(path).drop("score").write_parquet(path)
    assert run("export-index", "-w", workdir) == 1
    assert "has no column 'score'" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:100])
    assert run("export-index", "-w", workdir) == 1
    assert "run `llmi2i train-i2i --model swing --data real -w" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--layout", "list"), ("--name", "similar"), ("--keep-seconds", 5)])
def test_what_is_for_redis_alone_is_not_ignored(tmp_path, capsys, option):
    assert run("export-index", *option, "-w", tmp_path) == 2
    assert f"{option[0]} is for an index in Redis: add --to, or leave it out" in capsys.readouterr().err
