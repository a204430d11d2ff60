from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.choices.index_forms import INDEX_FORMS
from llmi2i_cli.choices.loading import load
from llmi2i_cli.errors import Llmi2iError
from llmi2i_cli.i2i import exported_index
from llmi2i_cli.i2i.exported_index import read_exported
from llmi2i_cli.i2i.neighbours import Neighbours

ITEM_IDS = pl.Series("item_id", ["é", "b", "10", *(f"i{number}" for number in range(12))])
READABLE = [form for form in INDEX_FORMS.values() if form.read]


def random_neighbours() -> Neighbours:
    """Rows of up to 12 neighbours; the first item has all, the second one none."""
    rng = np.random.default_rng(0)
    neighbours = Neighbours.empty(len(ITEM_IDS), 12)
    for row in range(len(ITEM_IDS)):
        n = {0: 12, 1: 0}.get(row, int(rng.integers(1, 13)))
        neighbours.ids[row, :n] = rng.choice(len(ITEM_IDS), n, replace=False)
        neighbours.scores[row, :n] = -np.sort(-rng.random(n))
    return neighbours


@pytest.mark.parametrize("form", READABLE, ids=lambda form: form.name)
def test_every_form_is_read_back_alike(form, tmp_path, monkeypatch):
    monkeypatch.setattr(exported_index, "ROWS_AT_ONCE", 4)
    neighbours, path = random_neighbours(), tmp_path / f"index{form.ending}"
    load(form.write)(path, neighbours, ITEM_IDS)
    found = read_exported(path)
    assert found.first.rows() == [
        (ITEM_IDS[row], ITEM_IDS[int(neighbour)], place + 1)
        for row, of_row in enumerate(neighbours.ids)
        for place, neighbour in enumerate(of_row[:10])
        if neighbour >= 0
    ]
    assert found.n_neighbours == (neighbours.ids >= 0).sum() > len(found.first)


def rows(*lines: dict) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


ROW = {"item_id": "a", "neighbour_ids": ["b", "c"], "scores": [2, 1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no neighbour of any item"),
        (rows({**ROW, "neighbour_ids": [], "scores": []}), "holds no neighbour of any item"),
        (rows({**ROW, "scores": [2, None]}), "item 'a' has a neighbour with the score None"),
        (rows(ROW, {**ROW, "item_id": "b", "scores": [1]}), "has 4 neighbours and 3 scores"),
        (rows({**ROW, "neighbour_ids": ["b", "b"]}), "two rows have item_id 'a', neighbour_id 'b'"),
        (rows(ROW, {**ROW, "neighbour_ids": ["d", "e"]}), "the ranks of item 'a' are not 1, 2, 3, ..."),
        (rows({**ROW, "neighbour_ids": ["b", None]}), "column 'neighbour_id' holds nothing"),
        ("nonsense\n", "index.jsonl is damaged"),
    ],
)
def test_what_cannot_be_served_is_an_error(tmp_path, text, message):
    (tmp_path / "index.jsonl").write_text(text)
    with pytest.raises(Llmi2iError, match=r"index\.jsonl.*make it again") as error:
        read_exported(tmp_path / "index.jsonl")
    assert message in str(error.value)


def test_scores_are_looked_at_behind_the_first_ones_too(tmp_path):
    neighbours = random_neighbours()
    neighbours.scores[0, 11] = np.nan
    for form in READABLE:
        path = tmp_path / f"index{form.ending}"
        load(form.write)(path, neighbours, ITEM_IDS)
        with pytest.raises(Llmi2iError, match=r"has a neighbour (with the score|outside the 15 items, or no score)"):
            read_exported(path)


def test_what_is_no_index(tmp_path):
    with pytest.raises(Llmi2iError, match=r"index\.parquet: no such index"):
        read_exported(tmp_path / "index.parquet")
    (tmp_path / "index.csv").write_text("a,b\n")
    with pytest.raises(Llmi2iError, match=r"its name has to end with \.parquet, \.jsonl, \.mmap"):
        read_exported(tmp_path / "index.csv")
    (tmp_path / "index.parquet").write_text("a,b\n")
    with pytest.raises(Llmi2iError, match="not a readable Parquet file"):
        read_exported(tmp_path / "index.parquet")
    (tmp_path / "index.mmap").mkdir()
    with pytest.raises(Llmi2iError, match="not an index of this version"):
        read_exported(tmp_path / "index.mmap")
    shutil.rmtree(tmp_path / "index.mmap")
