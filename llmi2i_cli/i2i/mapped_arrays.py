"""Arrays in memory-mapped files: opened without being read, and the pages of a query read side by side."""

from __future__ import annotations

import mmap
import os

import numpy as np
from numpy.typing import DTypeLike, NDArray

from llmi2i_cli.compiled import compiled
from llmi2i_cli.files.open_folder import OpenFolder


def mapped(folder: OpenFolder, name: str, dtype: DTypeLike, length: int) -> NDArray:
    """A plain view of a mapped file: indexing a np.memmap itself costs microseconds each time."""
    with folder.open(name) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} is of another version of the format")
        shape, _, found = np.lib.format.read_array_header_1_0(file)
        if shape != (length,) or found != np.dtype(dtype):
            raise ValueError(f"{name} has shape {shape} and type {found}")
        if not length:  # cannot be mapped
            return np.zeros(0, dtype)
        return np.asarray(np.memmap(file, dtype, "r", offset=file.tell(), shape=shape))


def mapped_text(folder: OpenFolder, name: str) -> NDArray[np.uint8]:
    with folder.open(name) as file:
        if os.fstat(file.fileno()).st_size == 0:  # cannot be mapped
            return np.zeros(0, np.uint8)
        return np.asarray(np.memmap(file, np.uint8, "r"))


def _mapping(records: NDArray[np.void]) -> mmap.mmap | None:
    """What holds the pages of a mapped array, where the system takes advice about them."""
    mapping = getattr(records.base, "_mmap", None)
    return mapping if hasattr(mmap, "MADV_WILLNEED") else None


def advise_random(records: NDArray[np.void]) -> None:
    """Without the advice each record would bring dozens of pages that nobody asks for."""
    if mapping := _mapping(records):
        mapping.madvise(mmap.MADV_RANDOM)


def read_ahead(records: NDArray[np.void], rows: NDArray[np.int32]) -> None:
    """Have the pages of these records read side by side: touching one after the other waits for the disk each time."""
    if mapping := _mapping(records):
        header_bytes = len(mapping) - records.nbytes
        for begin, end in _page_ranges(rows, header_bytes, records.itemsize, mmap.PAGESIZE).tolist():
            mapping.madvise(mmap.MADV_WILLNEED, begin, end - begin)


@compiled()
def _page_ranges(rows: NDArray[np.int32], header_bytes: int, record_bytes: int, page_bytes: int) -> NDArray[np.int64]:
    """Where the records of `rows` lie, int64 (n, 2): from and to which byte, in whole pages, ascending and apart."""
    ranges = np.empty((len(rows), 2), np.int64)
    n = 0
    for row in np.sort(rows):
        if row < 0:
            continue
        first_byte = header_bytes + np.int64(row) * record_bytes
        begin = first_byte // page_bytes * page_bytes
        end = (first_byte + record_bytes + page_bytes - 1) // page_bytes * page_bytes
        if n and begin <= ranges[n - 1, 1]:
            ranges[n - 1, 1] = end
        else:
            ranges[n] = begin, end
            n += 1
    return ranges[:n]
