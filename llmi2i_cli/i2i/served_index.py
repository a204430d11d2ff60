"""The index in a form to serve from: a directory of memory-mapped arrays that opens at once, however large.

::

    meta.json         format, version, n_items, top_k
    neighbours.npy    records of int32 (k,) ``ids``, rows of the neighbours, best first, padded with -1, and of
                      float32 (k,) ``scores``; one per item, so that all of it lies together
    tie_ranks.npy     int32 (n_items,): the order among equal sums
    id_text.bin       the item ids as UTF-8, one after the other
    id_offsets.npy    int64 (n_items + 1,): item i is ``id_text[id_offsets[i]:id_offsets[i + 1]]``
    id_hashes.npy     uint64 (n_items,), ascending: BLAKE2b-64 of the ids
    id_rows.npy       int32 (n_items,): the item of each hash

A query is three calls, with `llmi2i_cli.evaluation.retrieve.rank_one` between the last two::

    rows = index.rows_of(["item a", "item b"])     # text -> rows
    found = index.neighbours(rows)                 # their neighbours, in memory
    ids, scores = rank_one(found.ids, found.scores, index.tie_ranks, np.arange(len(rows)), exclude=rows, top_n=10)
    index.item_ids(ids)                            # rows -> text

A look-up is a binary search for the hash and a comparison of the id itself, so nothing is loaded or built at opening,
and processes that serve the same index share its pages. The records are nearly all of an index: only those that are
asked for are read, all of a query at once. What is read is checked, so that a damaged index is an error and no crash.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.documents import parse_json
from llmi2i_cli.files.open_folder import OpenFolder
from llmi2i_cli.i2i.mapped_arrays import advise_random, mapped, mapped_text, read_ahead
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours, tie_ranks

FORMAT, VERSION = "llmi2i-index", 2
UNKNOWN = -1
FINE = -1


@dataclass(frozen=True)
class ServedIndex:
    """An open index; the arrays are memory-mapped and read-only."""

    directory: Path
    records: NDArray[np.void]
    tie_ranks: NDArray[np.int32]
    id_offsets: NDArray[np.int64]
    id_hashes: NDArray[np.uint64]
    id_rows: NDArray[np.int32]
    id_text: NDArray[np.uint8]

    @classmethod
    def open(cls, directory: Path) -> ServedIndex:
        """Open what `write_served_index` wrote. ArtifactError if it is missing, damaged or of another format.

        An index that is replaced meanwhile is opened as it was or as it now is, never in parts of both.
        """
        try:
            with OpenFolder(directory) as folder:
                try:
                    index = cls._of(folder)
                except Exception:
                    if folder.was_replaced():
                        return cls.open(directory)
                    raise
        except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArtifactError(
                f"{directory} is not an index of this version ({error}): "
                "run `llmi2i export-index --format mmap --force` again"
            ) from error
        advise_random(index.records)
        return index

    @classmethod
    def _of(cls, folder: OpenFolder) -> ServedIndex:
        with folder.open("meta.json") as file:
            meta = parse_json(file.read().decode())
        if meta.get("format") != FORMAT or meta.get("version") != VERSION:
            raise ValueError(f"format {meta.get('format')!r} version {meta.get('version')!r}")
        n_items = meta["n_items"]
        index = cls(
            folder.path,
            mapped(folder, "neighbours.npy", _record(meta["top_k"]), n_items),
            mapped(folder, "tie_ranks.npy", np.int32, n_items),
            mapped(folder, "id_offsets.npy", np.int64, n_items + 1),
            mapped(folder, "id_hashes.npy", np.uint64, n_items),
            mapped(folder, "id_rows.npy", np.int32, n_items),
            mapped_text(folder, "id_text.bin"),
        )
        if len(index.id_text) != index.id_offsets[-1]:
            raise ValueError(f"id_text.bin has {len(index.id_text)} bytes instead of {index.id_offsets[-1]}")
        return index

    @property
    def n_items(self) -> int:
        return len(self.id_rows)

    def rows_of(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        """The items' rows, int32 (len(item_ids),); -1 (`UNKNOWN`) where the index does not have one.

        ArtifactError if the index is damaged where it was looked up; so in the other methods.
        """
        encoded = [item_id.encode() for item_id in item_ids]
        ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        rows = np.full(len(encoded), UNKNOWN, np.int32)
        damaged = _find(
            np.array([_hash(text) for text in encoded], np.uint64),
            np.frombuffer(b"".join(encoded), np.uint8),
            ends,
            self.id_hashes,
            self.id_rows,
            self.id_offsets,
            self.id_text,
            rows,
        )
        if damaged != FINE:
            raise self._damaged(f"the look-up of {item_ids[damaged]!r} leads out of it")
        return rows

    def neighbours(self, rows: NDArray[np.int32]) -> Neighbours:
        """The neighbours of these items, (len(rows), k), copied into memory; none where a row is -1 (`UNKNOWN`)."""
        if len(rows) and not UNKNOWN <= rows.min() <= rows.max() < self.n_items:
            raise IndexError(f"rows from {rows.min()} to {rows.max()} of an index of {self.n_items} items")
        read_ahead(self.records, rows)
        found = Neighbours.empty(len(rows), self.records.dtype["ids"].shape[0])
        damaged = _gather(self.records["ids"], self.records["scores"], rows, found.ids, found.scores)
        if damaged != FINE:
            raise self._damaged(f"item {rows[damaged]} has a neighbour outside the {self.n_items} items, or no score")
        return found

    def item_ids(self, rows: NDArray[np.int32]) -> list[str]:
        """The ids of these items."""
        begins, ends = self.id_offsets[rows], self.id_offsets[rows + 1]
        text = self.id_text.data
        try:
            if ((begins < 0) | (begins > ends) | (ends > len(text))).any():
                raise ValueError("an id lies outside id_text.bin")
            return [str(text[begin:end], "utf-8") for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def neighbours_of(self, item_id: str) -> list[tuple[str, float]]:
        """An item's neighbours and scores, best first; empty for an unknown item."""
        found = self.neighbours(self.rows_of([item_id]))
        real = found.ids[0] != EMPTY
        return list(zip(self.item_ids(found.ids[0, real]), found.scores[0, real].tolist(), strict=True))

    def _damaged(self, what: str) -> ArtifactError:
        return ArtifactError(
            f"{self.directory} is damaged ({what}): run `llmi2i export-index --format mmap --force` again"
        )


def write_served_index(directory: Path, neighbours: Neighbours, item_ids: pl.Series) -> None:
    """Write the arrays of `neighbours` over the catalogue `item_ids`, String (n_items,), into a new directory.

    What a killed run has left in it is removed.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    encoded = [item_id.encode() for item_id in item_ids]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    hashes = np.array([_hash(text) for text in encoded], np.uint64)
    order = np.argsort(hashes, kind="stable")
    _write_records(directory / "neighbours.npy", neighbours)
    np.save(directory / "tie_ranks.npy", tie_ranks(neighbours.n_items))
    np.save(directory / "id_offsets.npy", offsets)
    np.save(directory / "id_hashes.npy", hashes[order])
    np.save(directory / "id_rows.npy", order.astype(np.int32))
    (directory / "id_text.bin").write_bytes(b"".join(encoded))
    meta = {"format": FORMAT, "version": VERSION, "n_items": neighbours.n_items, "top_k": neighbours.k}
    (directory / "meta.json").write_text(json.dumps(meta) + "\n", encoding="utf-8")


def _record(top_k: int) -> np.dtype[np.void]:
    return np.dtype([("ids", np.int32, (top_k,)), ("scores", np.float32, (top_k,))])


def _write_records(path: Path, neighbours: Neighbours, rows_at_once: int = 1 << 14) -> None:
    """Interleave ids and scores without a second copy of all in memory."""
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(_record(neighbours.k)), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (neighbours.n_items,)})
        for _, block in neighbours.blocks(rows_at_once):
            records = np.empty(block.n_items, _record(block.k))
            records["ids"], records["scores"] = block.ids, block.scores
            file.write(records.tobytes())


def _hash(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


@compiled()
def _find(
    hashes: NDArray[np.uint64],
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    id_hashes: NDArray[np.uint64],
    id_rows: NDArray[np.int32],
    id_offsets: NDArray[np.int64],
    id_text: NDArray[np.uint8],
    rows: NDArray[np.int32],
) -> int:
    """Fill in the row of each id; the id whose look-up leads outside the arrays, or -1 (`FINE`)."""
    for query in range(len(hashes)):
        begin = ends[query - 1] if query else 0
        low, high = 0, len(id_hashes)
        while low < high:
            middle = (low + high) // 2
            if id_hashes[middle] < hashes[query]:
                low = middle + 1
            else:
                high = middle
        while low < len(id_hashes) and id_hashes[low] == hashes[query]:  # more than one if hashes collide
            row = id_rows[low]
            if row < 0 or row >= len(id_rows):
                return query
            id_begin, id_end = id_offsets[row], id_offsets[row + 1]
            if id_begin < 0 or id_end < id_begin or id_end > len(id_text):
                return query
            if np.array_equal(text[begin : ends[query]], id_text[id_begin:id_end]):
                rows[query] = row
                break
            low += 1
    return FINE


@compiled()
def _gather(
    all_ids: NDArray[np.int32],
    all_scores: NDArray[np.float32],
    rows: NDArray[np.int32],
    ids: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> int:
    """Copy records to `ids` and `scores`; the place of a row with an impossible neighbour or score, or -1 (`FINE`)."""
    for place in range(len(rows)):
        row = rows[place]
        if row == UNKNOWN:
            continue
        for column in range(all_ids.shape[1]):
            neighbour, score = all_ids[row, column], all_scores[row, column]
            if neighbour < EMPTY or neighbour >= len(all_ids) or not np.isfinite(score):
                return place
            ids[place, column] = neighbour
            scores[place, column] = score
    return FINE
