"""Selection of the best K of many ranking keys.

`offer` keeps a bounded heap of keys, each with the position that it stands for. The root is the worst key that is
kept, so most candidates cost one comparison. Keys come from `ranking_key`; the empty heap's are 0, which is below every
key of a finite score. `keep_largest` cuts a list of keys without positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled

SMALL = 16  # keys that insertion sorts as fast as partitions would


@compiled()
def offer(keys: NDArray[np.uint64], positions: NDArray[np.int32], size: int, key: Any, position: Any) -> int:
    """Keep `key` if it is among the best ``len(keys)`` so far; returns the new size.

    Parameters
    ----------
    keys : uint64 (k,), a min-heap in its first `size` places; changed in place
    positions : int32 (k,), moved together with `keys`
    """
    if size < len(keys):
        place = size
        while place > 0:
            parent = (place - 1) >> 1
            if keys[parent] <= key:
                break
            keys[place] = keys[parent]
            positions[place] = positions[parent]
            place = parent
        keys[place] = key
        positions[place] = position
        return size + 1
    if size and key > keys[0]:
        _sift_down(keys, positions, size, key, position)
    return size


@compiled()
def sort_descending(keys: NDArray[np.uint64], positions: NDArray[np.int32], size: int) -> None:
    """Turn the heap into a list with the largest key first, in place."""
    for end in range(size - 1, 0, -1):
        key, position = keys[end], positions[end]
        keys[end], positions[end] = keys[0], positions[0]
        _sift_down(keys, positions, end, key, position)


@compiled()
def keep_largest(keys: NDArray[np.uint64], n: int, k: int) -> None:
    """Bring the `k` largest of the first `n` keys to the front, in any order but for the k-th, which stands last.

    Quickselect whose partition has no branch (Lomuto's, with a swap each step): keys in random order are mispredicted
    half of the time otherwise.

    Parameters
    ----------
    keys : uint64 (at least n,), distinct; reordered in place
    k : from 1 to `n`
    """
    low, high = 0, n  # the k-th largest stands in keys[low:high] in the end
    while high - low > SMALL:
        first, middle, last = keys[low], keys[(low + high) >> 1], keys[high - 1]
        pivot = max(min(first, middle), min(max(first, middle), last))  # the median: neither side is empty
        split = low
        for place in range(low, high):
            key = keys[place]
            keys[place] = keys[split]
            keys[split] = key
            split += key >= pivot
        if split >= k:
            high = split
        else:
            low = split
    for unsorted in range(low + 1, high):
        key = keys[unsorted]
        place = unsorted
        while place > low and keys[place - 1] < key:
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = key


@compiled(inline="always")
def _sift_down(keys: NDArray[np.uint64], positions: NDArray[np.int32], size: int, key: Any, position: int) -> None:
    """Put `key` in the place of the root and restore the heap of the first `size` places."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[place] = keys[child]
        positions[place] = positions[child]
        place = child
    keys[place] = key
    positions[place] = position
