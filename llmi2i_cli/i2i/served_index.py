"""The index in a form to serve from: a directory of memory-mapped arrays that opens at once, however large.

::

    meta.json             format, version, n_items, top_k
    neighbour_ids.npy     int32 (n_items, k): rows of the neighbours, best first, padded with -1
    scores.npy            float32 (n_items, k)
    tie_ranks.npy         int32 (n_items,): the order among equal sums
    id_text.bin           the item ids as UTF-8, one after the other
    id_offsets.npy        int64 (n_items + 1,): item i is ``id_text[id_offsets[i]:id_offsets[i + 1]]``
    id_hashes.npy         uint64 (n_items,), ascending: BLAKE2b-64 of the ids
    id_rows.npy           int32 (n_items,): the item of each hash

A look-up is a binary search for the hash and a comparison of the id itself, so nothing is loaded or built at opening,
and processes that serve the same index share its pages.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.i2i.neighbours import Neighbours, tie_ranks

FORMAT, VERSION = "llmi2i-index", 1
ARRAYS = {
    "neighbour_ids": np.int32,
    "scores": np.float32,
    "tie_ranks": np.int32,
    "id_offsets": np.int64,
    "id_hashes": np.uint64,
    "id_rows": np.int32,
}
UNKNOWN = -1


@dataclass(frozen=True)
class ServedIndex:
    """An open index; the arrays are memory-mapped and read-only."""

    neighbour_ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    tie_ranks: NDArray[np.int32]
    id_offsets: NDArray[np.int64]
    id_hashes: NDArray[np.uint64]
    id_rows: NDArray[np.int32]
    id_text: NDArray[np.uint8]

    @classmethod
    def open(cls, directory: Path) -> ServedIndex:
        """Open what `write_served_index` wrote. ArtifactError if it is missing, damaged or of another format."""
        try:
            meta = json.loads((directory / "meta.json").read_text(encoding="utf-8"))
            if meta.get("format") != FORMAT or meta.get("version") != VERSION:
                raise ValueError(f"format {meta.get('format')!r} version {meta.get('version')!r}")
            arrays = {name: _plain(np.load(directory / f"{name}.npy", mmap_mode="r")) for name in ARRAYS}
            text_path = directory / "id_text.bin"
            empty = text_path.stat().st_size == 0
            text = np.zeros(0, np.uint8) if empty else _plain(np.memmap(text_path, np.uint8, "r"))
            _check_shapes(arrays, text, meta["n_items"], meta["top_k"])
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise ArtifactError(
                f"{directory} is no index of this version ({error}): run `llmi2i export-index --format mmap` again"
            ) from error
        return cls(**arrays, id_text=text)

    @property
    def n_items(self) -> int:
        return len(self.id_rows)

    def item_id(self, row: int) -> str:
        """The id of an item."""
        return self._text(row).decode()

    def _text(self, row: int) -> bytes:
        begin, end = self.id_offsets[row : row + 2].tolist()
        return self.id_text.data[begin:end].tobytes()

    def rows_of(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        """The items' rows, int32 (len(item_ids),); -1 (`UNKNOWN`) where the index does not have one."""
        encoded = [item_id.encode() for item_id in item_ids]
        hashes = np.array([_hash(text) for text in encoded], np.uint64)
        first = np.searchsorted(self.id_hashes, hashes).tolist()
        last = np.searchsorted(self.id_hashes, hashes, side="right").tolist()
        rows = np.full(len(encoded), UNKNOWN, np.int32)
        for query, text in enumerate(encoded):
            for row in self.id_rows[first[query] : last[query]].tolist():  # more than one if hashes collide
                if self._text(row) == text:
                    rows[query] = row
        return rows

    def neighbours_of(self, item_id: str) -> list[tuple[str, float]]:
        """An item's neighbours and scores, best first; empty for an unknown item."""
        row = int(self.rows_of([item_id])[0])
        if row == UNKNOWN:
            return []
        return [
            (self.item_id(neighbour), score)
            for neighbour, score in zip(self.neighbour_ids[row].tolist(), self.scores[row].tolist(), strict=True)
            if neighbour >= 0
        ]


def write_served_index(directory: Path, neighbours: Neighbours, item_ids: pl.Series) -> None:
    """Write the arrays of `neighbours` over the catalogue `item_ids`, String (n_items,), into a new directory."""
    directory.mkdir(parents=True)
    encoded = [item_id.encode() for item_id in item_ids]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    hashes = np.array([_hash(text) for text in encoded], np.uint64)
    order = np.argsort(hashes, kind="stable")
    arrays = {
        "neighbour_ids": neighbours.ids,
        "scores": neighbours.scores,
        "tie_ranks": tie_ranks(neighbours.n_items),
        "id_offsets": offsets,
        "id_hashes": hashes[order],
        "id_rows": order,
    }
    for name, dtype in ARRAYS.items():
        np.save(directory / f"{name}.npy", np.ascontiguousarray(arrays[name], dtype))
    (directory / "id_text.bin").write_bytes(b"".join(encoded))
    meta = {"format": FORMAT, "version": VERSION, "n_items": neighbours.n_items, "top_k": neighbours.k}
    (directory / "meta.json").write_text(json.dumps(meta) + "\n", encoding="utf-8")


def _plain(mapped: np.memmap) -> NDArray:
    """A plain view of mapped pages: indexing a np.memmap itself costs microseconds each time.

    Rows are looked up at random: without the advice each one would bring dozens of pages that nobody asks for.
    """
    if hasattr(mmap, "MADV_RANDOM"):
        mapped._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]
    return np.asarray(mapped)


def _hash(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _check_shapes(arrays: dict[str, NDArray], text: NDArray[np.uint8], n_items: int, top_k: int) -> None:
    shapes = {
        "neighbour_ids": (n_items, top_k),
        "scores": (n_items, top_k),
        "tie_ranks": (n_items,),
        "id_offsets": (n_items + 1,),
        "id_hashes": (n_items,),
        "id_rows": (n_items,),
    }
    for name, dtype in ARRAYS.items():
        if arrays[name].shape != shapes[name] or arrays[name].dtype != dtype:
            raise ValueError(f"{name}.npy has shape {arrays[name].shape} and type {arrays[name].dtype}")
    if len(text) != arrays["id_offsets"][-1]:
        raise ValueError(f"id_text.bin has {len(text)} bytes instead of {arrays['id_offsets'][-1]}")
