"""Reads an index that `llmi2i export-index --format mmap` wrote, with NumPy alone.

    index = Index(Path("work/index/blend-fused.mmap"))
    index.recommend(["item a", "item b"], n=10)  # recent items, oldest first -> [(item, score), ...], best first

The arrays are memory-mapped: opening takes no time, and processes that serve the same index share its pages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FORMAT, VERSION = "llmi2i-index", 2
UNKNOWN = EMPTY = -1


class Index:
    """An open index, see llmi2i_cli/i2i/served_index.py for its files. Item k is row k of all arrays."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.inode = directory, directory.stat().st_ino
        meta = json.loads((directory / "meta.json").read_text())
        if (meta["format"], meta["version"]) != (FORMAT, VERSION):
            raise ValueError(f"{directory} is of {meta['format']} version {meta['version']}, not {FORMAT} {VERSION}")
        names = ("neighbours", "tie_ranks", "id_offsets", "id_hashes", "id_rows")
        self.records, self.tie_ranks, self.id_offsets, self.id_hashes, self.id_rows = (
            np.asarray(np.load(directory / f"{name}.npy", mmap_mode="r")) for name in names
        )
        self.id_text = np.asarray(np.memmap(directory / "id_text.bin", np.uint8, "r")).data
        if not self.is_current():
            self.__init__(directory)  # type: ignore[misc]  # it was replaced while it was opened: parts of two

    def is_current(self) -> bool:
        """Whether the path still leads to this index: `export-index` puts a new one in its place in one step."""
        return self.directory.stat().st_ino == self.inode

    def row_of(self, item_id: str) -> int:
        """The row of an item, or UNKNOWN: a binary search for the hash of the id, then a look at the id itself."""
        text = item_id.encode()
        wanted = np.frombuffer(hashlib.blake2b(text, digest_size=8).digest(), "<u8")[0]
        for place in range(int(np.searchsorted(self.id_hashes, wanted)), len(self.id_hashes)):
            if self.id_hashes[place] != wanted:
                break
            row = int(self.id_rows[place])
            if self.id_text[self.id_offsets[row] : self.id_offsets[row + 1]] == text:
                return row
        return UNKNOWN

    def id_of(self, row: int) -> str:
        return str(self.id_text[self.id_offsets[row] : self.id_offsets[row + 1]], "utf-8")

    def neighbours(self, item_id: str, n: int = 10) -> list[tuple[str, float]]:
        """The first neighbours of an item with their scores, best first; none of an item that is not there."""
        row = self.row_of(item_id)
        if row == UNKNOWN:
            return []
        ids, scores = self.records["ids"][row, :n], self.records["scores"][row, :n]
        return [(self.id_of(i), float(score)) for i, score in zip(ids, scores, strict=True) if i != EMPTY]

    def recommend(
        self, recent: Sequence[str], n: int = 10, decay: float = 1.0, seen: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """The items whose scores, summed over the neighbours of the recent items (oldest first), are the highest.

        The next older item counts `decay` times as much. What is recent or `seen` is left out.
        """
        rows = np.array([row for row in map(self.row_of, recent) if row != UNKNOWN], np.int64)
        found = self.records[rows]
        ids, weights = found["ids"].ravel(), decay ** np.arange(len(rows))[::-1]
        weighted = (found["scores"] * weights[:, None]).ravel()
        order = np.argsort(ids, kind="stable")
        ids, weighted = ids[order], weighted[order]
        starts = np.flatnonzero(np.diff(ids, prepend=EMPTY))  # of each item; padding stands before the first
        if not len(starts):
            return []
        items, sums = ids[starts], np.add.reduceat(weighted, starts)
        new = np.ones(len(items), bool)
        known = np.array([row for row in map(self.row_of, (*recent, *seen)) if row != UNKNOWN], np.int64)
        places = np.searchsorted(items, known)
        new[places[items.take(places, mode="clip") == known]] = False
        items, sums = items[new], sums[new]
        best = self._order(items, sums)[:n]
        return [(self.id_of(items[k]), float(np.float32(sums[k]))) for k in best]

    def _order(self, items: NDArray[np.int32], sums: NDArray[np.float64]) -> NDArray[np.int64]:
        """Best first; sums that are equal to a relative 1e-6 in the order of `tie_ranks`, as `llmi2i evaluate` ranks.

        The bits of a positive float32 grow with it, those of a negative one fall; 19 bits of its fraction are compared.
        """
        bits = (sums.astype(np.float32) + np.float32(0)).view(np.uint32).astype(np.int64)
        rounded = (bits + 8) & 0xFFFFFFF0
        ascending = np.where(rounded & 0x80000000, 0xFFFFFFFF - rounded, rounded | 0x80000000)
        keys = (0xFFFFFFFF - ascending).astype(np.uint64) << 32 | self.tie_ranks[items].astype(np.uint64)
        return np.argsort(keys)
