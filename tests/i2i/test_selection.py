"""The best K of many keys against a sort of all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from llmi2i_cli.i2i.selection import SMALL, keep_largest, offer, sort_descending

ORDERS: dict[str, Callable[[int], NDArray[np.int64]]] = {
    "random": lambda n: np.random.default_rng(n).permutation(n),
    "ascending": np.arange,
    "descending": lambda n: np.arange(n)[::-1],
    "organ pipe": lambda n: np.concatenate([np.arange(0, n, 2), np.arange(1, n, 2)[::-1]]),
    "saw": lambda n: np.argsort(np.arange(n) % 7, kind="stable"),
}
SIZES = (1, 2, 3, SMALL, SMALL + 1, SMALL + 2, 3 * SMALL, 400)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n", SIZES)
def test_keep_largest_puts_the_best_first_and_the_kth_last_of_them(order, n):
    for k in sorted({1, 2, n // 2, n - 1, n} & set(range(1, n + 1))):
        keys = ORDERS[order](n).astype(np.uint64) + np.uint64(2**63)
        behind = np.array([2**64 - 1, 5], np.uint64)  # what stands after the first n has no say
        buffer = np.concatenate([keys, behind])
        keep_largest(buffer, n, k)
        descending = np.sort(keys)[::-1]
        assert sorted(buffer[:k].tolist(), reverse=True) == descending[:k].tolist()
        assert buffer[k - 1] == descending[k - 1]
        assert sorted(buffer[k:n].tolist(), reverse=True) == descending[k:].tolist()
        assert buffer[n:].tolist() == behind.tolist()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("k", [1, 2, 7, 50])
def test_the_heap_keeps_the_best_and_their_positions(order, k):
    offered = ORDERS[order](40)
    keys, positions, size = np.empty(k, np.uint64), np.empty(k, np.int32), 0
    for position, key in enumerate(offered.tolist()):
        size = offer(keys, positions, size, np.uint64(key + 1), position)
    sort_descending(keys, positions, size)
    assert keys[:size].tolist() == sorted((offered + 1).tolist(), reverse=True)[:k]
    assert (offered[positions[:size]] + 1).tolist() == keys[:size].tolist()
