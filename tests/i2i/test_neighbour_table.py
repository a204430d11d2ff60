from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.schemas import NEIGHBOURS
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.i2i import neighbour_lists
from llmi2i_cli.i2i.neighbour_table import from_table, read_neighbours, write_neighbours
from llmi2i_cli.i2i.neighbours import Neighbours

ITEM_IDS = pl.Series("item_id", ["é", "b", "10", "9"])
NEIGHBOUR_ARRAYS = Neighbours(
    np.array([[2, 1], [-1, -1], [3, -1], [0, 2]], np.int32), np.array([[0.5, 0.25], [0, 0], [1, 0], [2, 1]], np.float32)
)


@pytest.mark.parametrize("rows_at_once", [1, 4, 1000])
def test_table_is_one_row_a_neighbour_in_the_order_of_the_catalogue(tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(neighbour_lists, "ROWS_AT_ONCE", rows_at_once)
    path = tmp_path / "swing-real.parquet"
    assert write_neighbours(path, NEIGHBOUR_ARRAYS, ITEM_IDS) == 5
    table = pl.read_parquet(path)
    assert dict(table.schema) == dict(NEIGHBOURS)
    assert table.rows() == [
        ("é", "10", 1, 0.5),
        ("é", "b", 2, 0.25),
        ("10", "9", 1, 1.0),
        ("9", "é", 1, 2.0),
        ("9", "10", 2, 1.0),
    ]
    assert list(tmp_path.iterdir()) == [path]


def test_round_trip(tmp_path):
    (tmp_path / "i2i").mkdir()
    write_neighbours(tmp_path / "i2i/bm25-fused.parquet", NEIGHBOUR_ARRAYS, ITEM_IDS)
    back = read_neighbours(tmp_path, "bm25", "fused", ITEM_IDS)
    assert (back.ids == NEIGHBOUR_ARRAYS.ids).all()
    assert (back.scores == NEIGHBOUR_ARRAYS.scores).all()
    first = read_neighbours(tmp_path, "bm25", "fused", ITEM_IDS, top_k=1)
    assert first.ids.tolist() == [[2], [-1], [3], [0]]


def test_no_neighbours_at_all(tmp_path):
    path = tmp_path / "none.parquet"
    assert write_neighbours(path, Neighbours.empty(4, 3), ITEM_IDS) == 0
    back = from_table(pl.read_parquet(path), ITEM_IDS, source="none.parquet")
    assert back.ids.shape == (4, 0)


def test_missing_and_foreign_tables_are_told(tmp_path):
    with pytest.raises(ArtifactError, match="run `llmi2i train-i2i --model swing --data fused -w"):
        read_neighbours(tmp_path, "swing", "fused", ITEM_IDS)
    table = pl.DataFrame({"item_id": ["b"], "neighbour_id": ["x"], "rank": [1], "score": [1.0]})
    with pytest.raises(ArtifactError, match="item_id 'x' is not in prepare/"):
        from_table(table, ITEM_IDS, source="i2i/swing-real.parquet")


@pytest.mark.parametrize("ranks", [(2, 3), (1, 3), (1, 1), (1, 2**31 - 1), (1, -7)])
def test_ranks_that_are_not_one_two_three_are_told(ranks):
    table = pl.DataFrame({"item_id": ["9"] * 2, "neighbour_id": ["b", "10"], "rank": ranks, "score": [2.0, 1.0]})
    with pytest.raises(
        ArtifactError, match=r"real\.parquet: the ranks of item '9' are not 1, 2, 3, \.\.\.: run `llmi2i"
    ):
        from_table(table, ITEM_IDS, source="i2i/swing-real.parquet")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_are_no_numbers_and_neighbours_that_are_there_twice_are_told(tmp_path, value):
    path = tmp_path / "i2i/swing-real.parquet"
    path.parent.mkdir()
    rows = [("b", "9", 1, 1.0), ("b", "10", 2, value)]
    pl.DataFrame(rows, dict(NEIGHBOURS), orient="row").write_parquet(path)
    with pytest.raises(ArtifactError, match=f"column 'score' holds {value}, where a value has to be finite"):
        read_neighbours(tmp_path, "swing", "real", ITEM_IDS)
    rows = [("b", "9", 1, 1.0), ("b", "9", 2, 0.5)]
    pl.DataFrame(rows, dict(NEIGHBOURS), orient="row").write_parquet(path)
    with pytest.raises(ArtifactError, match="two rows have item_id 'b', neighbour_id '9'"):
        read_neighbours(tmp_path, "swing", "real", ITEM_IDS)


def test_damage_behind_an_intact_header_is_told(tmp_path):
    path = tmp_path / "i2i/swing-real.parquet"
    path.parent.mkdir()
    scores = np.random.default_rng(0).random((4, 500)).astype(np.float32)  # enough for a page of its own
    write_neighbours(path, Neighbours(np.zeros((4, 500), np.int32), scores), ITEM_IDS)
    damaged = bytearray(path.read_bytes())
    half = len(damaged) // 2
    damaged[half : half + 500] = bytes(500)
    path.write_bytes(damaged)
    with pytest.raises(ArtifactError, match=r"swing-real\.parquet is damaged: run `llmi2i train-i2i --model swing"):
        read_neighbours(tmp_path, "swing", "real", ITEM_IDS)
