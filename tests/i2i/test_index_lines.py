from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.i2i import neighbour_lists
from llmi2i_cli.i2i.index_lines import write_bulk, write_json_lines, write_vespa_feed
from llmi2i_cli.i2i.neighbours import Neighbours

ITEM_IDS = pl.Series("item_id", ["é", 'b"', "10", "9"])
IDS = np.array([[2, 1], [-1, -1], [3, -1], [0, 2]], np.int32)
NEIGHBOUR_ARRAYS = Neighbours(IDS, np.array([[0.5, 0.1], [0, 0], [1, 0], [2, 1e-7]], np.float32))
DOCUMENTS: list[dict[str, Any]] = [
    {"item_id": "é", "neighbour_ids": ["10", 'b"'], "scores": [0.5, 0.1]},
    {"item_id": 'b"', "neighbour_ids": [], "scores": []},
    {"item_id": "10", "neighbour_ids": ["9"], "scores": [1.0]},
    {"item_id": "9", "neighbour_ids": ["é", "10"], "scores": [2.0, 1e-7]},
]


@pytest.mark.parametrize("write", [write_json_lines, write_bulk, write_vespa_feed])
def test_an_index_without_any_neighbour_has_all_items(tmp_path, write):
    none = Neighbours.empty(4, 0)
    write(tmp_path / "none", none, ITEM_IDS)
    write(tmp_path / "padded", Neighbours.empty(4, 3), ITEM_IDS)
    assert lines_of(tmp_path / "none") == lines_of(tmp_path / "padded") != []


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("rows_at_once", [1, 4, 1000])
def test_json_lines_are_one_item_each(tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(neighbour_lists, "ROWS_AT_ONCE", rows_at_once)
    assert write_json_lines(tmp_path / "index.jsonl", NEIGHBOUR_ARRAYS, ITEM_IDS) == 4
    assert lines_of(tmp_path / "index.jsonl") == DOCUMENTS


@pytest.mark.parametrize("rows_at_once", [1, 4, 1000])
def test_a_bulk_request_names_each_document_before_it(tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(neighbour_lists, "ROWS_AT_ONCE", rows_at_once)
    assert write_bulk(tmp_path / "index.elasticsearch", NEIGHBOUR_ARRAYS, ITEM_IDS) == 4
    expected = [line for each in DOCUMENTS for line in ({"index": {"_id": each["item_id"]}}, each)]
    assert lines_of(tmp_path / "index.elasticsearch") == expected
    assert (tmp_path / "index.elasticsearch").read_text().endswith("\n")  # a bulk request has to


@pytest.mark.parametrize("rows_at_once", [1, 4, 1000])
def test_a_feed_puts_each_document(tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(neighbour_lists, "ROWS_AT_ONCE", rows_at_once)
    assert write_vespa_feed(tmp_path / "index.vespa", NEIGHBOUR_ARRAYS, ITEM_IDS) == 4
    expected = [{"put": f"id:llmi2i:item::{each['item_id']}", "fields": each} for each in DOCUMENTS]
    assert lines_of(tmp_path / "index.vespa") == expected
