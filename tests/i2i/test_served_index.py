from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.i2i import served_index
from llmi2i_cli.i2i.neighbours import Neighbours, tie_ranks
from llmi2i_cli.i2i.served_index import ServedIndex, write_served_index

ITEM_IDS = pl.Series("item_id", ["b", "", "日本", "a b", "10"])


def arrays() -> Neighbours:
    rng = np.random.default_rng(0)
    ids = np.array([rng.permutation(5)[:3] for _ in range(5)], np.int32)
    ids[3, 1:] = -1
    return Neighbours(ids, np.where(ids >= 0, rng.random((5, 3)), 0).astype(np.float32))


def test_round_trip(tmp_path):
    neighbours = arrays()
    write_served_index(tmp_path / "index", neighbours, ITEM_IDS)
    index = ServedIndex.open(tmp_path / "index")
    assert (index.neighbour_ids == neighbours.ids).all()
    assert (index.scores == neighbours.scores).all()
    assert (index.tie_ranks == tie_ranks(5)).all()
    assert [index.item_id(row) for row in range(5)] == ITEM_IDS.to_list()
    assert index.rows_of(["10", "nobody", "", "日本", "b", "a b", "10"]).tolist() == [4, -1, 1, 2, 0, 3, 4]
    assert index.neighbours_of("a b") == [(ITEM_IDS[int(neighbours.ids[3, 0])], float(neighbours.scores[3, 0]))]
    assert index.neighbours_of("nobody") == []


def test_nothing_is_read_at_opening(tmp_path):
    write_served_index(tmp_path / "index", arrays(), ITEM_IDS)
    index = ServedIndex.open(tmp_path / "index")
    mapped: list[np.ndarray] = [
        index.neighbour_ids,
        index.scores,
        index.tie_ranks,
        index.id_offsets,
        index.id_hashes,
        index.id_rows,
    ]
    assert all(isinstance(array.base, np.memmap) and not array.flags.writeable for array in [*mapped, index.id_text])


def test_ids_of_one_hash_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(served_index, "_hash", lambda text: len(text) % 2)
    write_served_index(tmp_path / "index", arrays(), ITEM_IDS)
    index = ServedIndex.open(tmp_path / "index")
    assert index.rows_of([*ITEM_IDS, "x", "xx"]).tolist() == [0, 1, 2, 3, 4, -1, -1]


def test_an_empty_catalogue(tmp_path):
    write_served_index(tmp_path / "index", Neighbours.empty(0, 3), pl.Series("item_id", [], dtype=pl.String))
    assert ServedIndex.open(tmp_path / "index").rows_of(["a"]).tolist() == [-1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda index: (index / "meta.json").unlink(),
        lambda index: (index / "meta.json").write_text("[]"),
        lambda index: (index / "meta.json").write_text(json.dumps({"format": "llmi2i-index", "version": 99})),
        lambda index: (index / "scores.npy").write_bytes(b"\x93NUMPY"),
        lambda index: (index / "scores.npy").write_bytes((index / "scores.npy").read_bytes()[:-1]),
        lambda index: (index / "id_text.bin").write_bytes(b"ab"),
        lambda index: np.save(index / "id_rows.npy", np.zeros(5)),
    ],
)
def test_a_damaged_index_is_told_with_the_remedy(tmp_path, damage):
    write_served_index(tmp_path / "index", arrays(), ITEM_IDS)
    damage(tmp_path / "index")
    with pytest.raises(
        ArtifactError, match=r"is no index of this version .* run `llmi2i export-index --format mmap` again"
    ):
        ServedIndex.open(tmp_path / "index")
