from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.i2i import neighbour_lists
from llmi2i_cli.i2i.index_lines import write_json_lines
from llmi2i_cli.i2i.neighbours import Neighbours

ITEM_IDS = pl.Series("item_id", ["é", "b", "10", "9"])
NEIGHBOUR_ARRAYS = Neighbours(
    np.array([[2, 1], [-1, -1], [3, -1], [0, 2]], np.int32), np.array([[0.5, 0.25], [0, 0], [1, 0], [2, 1]], np.float32)
)


@pytest.mark.parametrize("rows_at_once", [1, 4, 1000])
def test_json_lines_are_one_item_each(tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(neighbour_lists, "ROWS_AT_ONCE", rows_at_once)
    assert write_json_lines(tmp_path / "index.jsonl", NEIGHBOUR_ARRAYS, ITEM_IDS) == 4
    assert [json.loads(line) for line in (tmp_path / "index.jsonl").read_text().splitlines()] == [
        {"item_id": "é", "neighbour_ids": ["10", "b"], "scores": [0.5, 0.25]},
        {"item_id": "b", "neighbour_ids": [], "scores": []},
        {"item_id": "10", "neighbour_ids": ["9"], "scores": [1.0]},
        {"item_id": "9", "neighbour_ids": ["é", "10"], "scores": [2.0, 1.0]},
    ]
