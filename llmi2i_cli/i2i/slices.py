"""Running a kernel over slices of users or items on all threads.

Kernels release the GIL and write only what belongs to their slice, so results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import pairwise
from typing import Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

COST_PER_SLICE = 200_000  # operations: about a millisecond, against some ten microseconds to start a slice
MAX_SLICES = 256


def run_slices(kernel: Callable[..., None], costs: NDArray, *arguments: Any) -> Iterator[float]:
    """Call ``kernel(first, last, *arguments)`` on slices of about equal cost, on as many threads as Numba would use.

    Parameters
    ----------
    costs : of each of the elements 0 .. n - 1, (n,); those at either end that cost nothing are left out

    Yields
    ------
    share of the cost that is done, after each slice; an error or an interrupt drops the slices that have not begun
    """
    bounds = bounds_of_slices(costs, int(min(max(float(costs.sum()) / COST_PER_SLICE, 1), MAX_SLICES)))
    pool = ThreadPoolExecutor(get_num_threads())
    try:
        slices = [pool.submit(kernel, first, last, *arguments) for first, last in pairwise(bounds)]
        for n_done, future in enumerate(as_completed(slices), 1):
            future.result()
            yield n_done / len(slices)
    finally:
        pool.shutdown(cancel_futures=True)


def bounds_of_slices(costs: NDArray, n_slices: int) -> list[int]:
    """Where at most `n_slices` slices of about equal cost begin, and where the last one ends."""
    done = np.cumsum(costs, dtype=np.float64)
    total = done[-1] if len(done) else 0.0
    costly = np.flatnonzero(costs)
    ends = [costly[0], costly[-1] + 1] if len(costly) else [0, 0]
    inner = np.searchsorted(done, np.arange(1, n_slices) * (total / n_slices))
    bounds: list[int] = np.unique(np.concatenate([ends, inner])).tolist()
    return bounds
