from __future__ import annotations

import json
import mmap
import shutil

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.atomic import put_in_place
from llmi2i_cli.files.open_folder import OpenFolder
from llmi2i_cli.i2i import mapped_arrays, served_index
from llmi2i_cli.i2i.neighbours import Neighbours, tie_ranks
from llmi2i_cli.i2i.served_index import ServedIndex, write_served_index

META = {"format": "llmi2i-index", "version": 2, "n_items": 5, "top_k": 3}
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
    assert (index.records["ids"] == neighbours.ids).all()
    assert (index.records["scores"] == neighbours.scores).all()
    assert (index.tie_ranks == tie_ranks(5)).all()
    assert index.item_ids(np.arange(5, dtype=np.int32)) == ITEM_IDS.to_list()
    assert index.rows_of(["10", "nobody", "", "日本", "b", "a b", "10"]).tolist() == [4, -1, 1, 2, 0, 3, 4]
    assert index.neighbours_of("a b") == [(ITEM_IDS[int(neighbours.ids[3, 0])], float(neighbours.scores[3, 0]))]
    assert index.neighbours_of("nobody") == []


def test_the_neighbours_of_a_query_are_those_of_its_rows(tmp_path):
    neighbours = arrays()
    write_served_index(tmp_path / "index", neighbours, ITEM_IDS)
    rows = np.array([3, -1, 0, 3], np.int32)
    found = ServedIndex.open(tmp_path / "index").neighbours(rows)
    assert found.ids[[0, 2, 3]].tolist() == neighbours.ids[[3, 0, 3]].tolist()
    assert found.scores[[0, 2, 3]].tolist() == neighbours.scores[[3, 0, 3]].tolist()
    assert (found.ids[1].tolist(), found.scores[1].tolist()) == ([-1, -1, -1], [0, 0, 0])  # an unknown item
    empty = ServedIndex.open(tmp_path / "index").neighbours(np.array([], np.int32))
    assert (empty.n_items, empty.k) == (0, 3)
    for outside in (-2, 5):
        with pytest.raises(IndexError, match="of an index of 5 items"):
            ServedIndex.open(tmp_path / "index").neighbours(np.array([1, outside], np.int32))


def test_pages_of_a_query_are_read_ahead_once_each(tmp_path):
    """Records of 1600 bytes behind a header of 192: the ranges that are asked for cover them and nothing else."""
    n_items, top_k = 2000, 200
    rng = np.random.default_rng(0)
    ids = rng.integers(0, n_items, (n_items, top_k), dtype=np.int32)
    write_served_index(
        tmp_path / "index", Neighbours(ids, ids.astype(np.float32)), pl.Series("item_id", map(str, range(n_items)))
    )
    index = ServedIndex.open(tmp_path / "index")
    asked: list[tuple[int, int]] = []

    class Mapping:
        def __len__(self):
            return (tmp_path / "index/neighbours.npy").stat().st_size

        def madvise(self, option, start, length):
            assert option == mmap.MADV_WILLNEED
            asked.append((start, start + length))

    header_bytes = len(Mapping()) - index.records.nbytes
    rows = np.array([1999, 7, 8, 7, 500, 0, 1200], np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped_arrays, "_mapping", lambda records: Mapping())
        index.neighbours(rows)
    pages = [page for start, end in asked for page in range(start // mmap.PAGESIZE, -(-end // mmap.PAGESIZE))]
    begins = [header_bytes + row * 1600 for row in rows.tolist()]
    expected = {byte // mmap.PAGESIZE for begin in begins for byte in (begin, begin + 1599)}
    assert sorted(expected) == pages  # ascending, and none twice
    assert all(start % mmap.PAGESIZE == 0 for start, _ in asked)
    assert len(asked) < len(set(rows.tolist()))  # rows 7 and 8 are read together


def test_nothing_is_read_at_opening(tmp_path):
    write_served_index(tmp_path / "index", arrays(), ITEM_IDS)
    index = ServedIndex.open(tmp_path / "index")
    mapped: list[np.ndarray] = [
        index.records,
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


@pytest.mark.parametrize("moment", ["meta.json", "neighbours.npy", "id_text.bin"])
def test_an_index_that_is_replaced_while_it_is_opened_is_opened_whole(tmp_path, monkeypatch, moment):
    """Another one takes its place and its files are gone just before one of them is opened."""
    folder, other = tmp_path / "index", Neighbours.empty(5, 2)
    write_served_index(folder, arrays(), ITEM_IDS)
    write_served_index(tmp_path / "next", other, ITEM_IDS)
    open_file = OpenFolder.open

    def replaced_before(self, name):
        if name == moment and (tmp_path / "next").exists():
            put_in_place(tmp_path / "next", folder)
            shutil.rmtree(tmp_path / "next")
        return open_file(self, name)

    monkeypatch.setattr(OpenFolder, "open", replaced_before)
    index = ServedIndex.open(folder)
    assert not (tmp_path / "next").exists()
    assert index.records["ids"].tolist() == other.ids.tolist()


def test_an_open_index_stays_what_it_was_when_it_is_replaced(tmp_path):
    write_served_index(tmp_path / "index", arrays(), ITEM_IDS)
    write_served_index(tmp_path / "next", Neighbours.empty(5, 2), ITEM_IDS)
    index = ServedIndex.open(tmp_path / "index")
    put_in_place(tmp_path / "next", tmp_path / "index")
    shutil.rmtree(tmp_path / "next")
    assert index.neighbours(np.arange(5, dtype=np.int32)).ids.tolist() == arrays().ids.tolist()


def test_an_empty_catalogue(tmp_path):
    write_served_index(tmp_path / "index", Neighbours.empty(0, 3), pl.Series("item_id", [], dtype=pl.String))
    assert ServedIndex.open(tmp_path / "index").rows_of(["a"]).tolist() == [-1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda index: (index / "meta.json").unlink(),
        lambda index: (index / "meta.json").write_text("[]"),
        lambda index: (index / "meta.json").write_text(json.dumps({"format": "llmi2i-index", "version": 99})),
        lambda index: (index / "meta.json").write_text(json.dumps(META | {"top_k": [3]})),
        lambda index: (index / "meta.json").write_text(json.dumps(META | {"top_k": 4})),
        lambda index: (index / "meta.json").write_text(json.dumps(META | {"n_items": None})),
        lambda index: (index / "neighbours.npy").write_bytes(b""),
        lambda index: (index / "neighbours.npy").write_bytes(b"\x93NUMPY"),
        lambda index: (index / "neighbours.npy").write_bytes((index / "neighbours.npy").read_bytes()[:-1]),
        lambda index: (index / "tie_ranks.npy").write_bytes(b""),
        lambda index: (index / "id_text.bin").write_bytes(b"ab"),
        lambda index: np.save(index / "id_rows.npy", np.zeros(5)),
        lambda index: np.save(index / "id_rows.npy", np.zeros(6, np.int32)),
    ],
)
def test_a_damaged_index_is_told_with_the_remedy(tmp_path, damage):
    write_served_index(tmp_path / "index", arrays(), ITEM_IDS)
    damage(tmp_path / "index")
    with pytest.raises(
        ArtifactError, match=r"is not an index of this version .* run `llmi2i export-index --format mmap --force` again"
    ):
        ServedIndex.open(tmp_path / "index")


def damage(path, place, value):
    array = np.load(path, mmap_mode="r+")
    array[place] = value
    array.flush()


@pytest.mark.parametrize("neighbour", [2**30, 999, 5, -2, -7, -(2**31)])
def test_an_impossible_neighbour_is_told_with_the_remedy(tmp_path, neighbour):
    write_served_index(tmp_path / "index", arrays(), ITEM_IDS)
    records = np.load(tmp_path / "index/neighbours.npy", mmap_mode="r+")
    records["ids"][2, 1] = neighbour
    records.flush()
    index = ServedIndex.open(tmp_path / "index")
    assert index.neighbours(np.array([0, 1, 3, 4], np.int32)).ids.shape == (4, 3)  # the others are as they were
    expected = (
        f"{tmp_path}/index is damaged (item 2 has a neighbour outside the 5 items, or no score): "
        "run `llmi2i export-index --format mmap --force` again"
    )
    for ask in (lambda: index.neighbours(np.array([0, 2], np.int32)), lambda: index.neighbours_of("日本")):
        with pytest.raises(ArtifactError) as told:
            ask()
        assert str(told.value) == expected


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_an_impossible_score_is_told(tmp_path, score):
    write_served_index(tmp_path / "index", arrays(), ITEM_IDS)
    records = np.load(tmp_path / "index/neighbours.npy", mmap_mode="r+")
    records["scores"][0, 0] = score
    records.flush()
    with pytest.raises(ArtifactError, match=r"is damaged \(item 0 has a neighbour outside the 5 items, or no score\)"):
        ServedIndex.open(tmp_path / "index").neighbours_of("b")


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("id_rows", slice(None), 2**30),
        ("id_rows", slice(None), 5),
        ("id_rows", slice(None), -1),
        ("id_offsets", slice(0, 5), 2**40),
        ("id_offsets", slice(0, 5), -(2**40)),
    ],
)
def test_a_look_up_that_leads_out_of_the_index_is_told(tmp_path, name, place, value):
    write_served_index(tmp_path / "index", arrays(), ITEM_IDS)
    damage(tmp_path / f"index/{name}.npy", place, value)
    index = ServedIndex.open(tmp_path / "index")
    with pytest.raises(ArtifactError, match=r"is damaged \(the look-up of 'b' leads out of it\): run"):
        index.rows_of(["b"])


def test_text_that_is_no_id_is_told(tmp_path):
    write_served_index(tmp_path / "index", arrays(), ITEM_IDS)
    text = (tmp_path / "index/id_text.bin").read_bytes()
    (tmp_path / "index/id_text.bin").write_bytes(b"\xff" * len(text))
    index = ServedIndex.open(tmp_path / "index")
    with pytest.raises(ArtifactError, match=r"is damaged \('utf-8' codec can't decode"):
        index.item_ids(np.array([0], np.int32))
    damage(tmp_path / "index/id_offsets.npy", 1, 2**40)
    with pytest.raises(ArtifactError, match=r"is damaged \(an id lies outside id_text.bin\)"):
        ServedIndex.open(tmp_path / "index").item_ids(np.array([1], np.int32))
