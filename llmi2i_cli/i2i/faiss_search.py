"""Approximate nearest items by faiss, for catalogues on which the exact search takes too long.

An inverted file (IVF-Flat; Jégou et al., PAMI 2011): k-means shares the vectors out among about 4 sqrt(n) cells, and a
query looks into the nearest sixteenth of them, or `CELLS_PROBED` if that is more. Work: about a sixteenth of the exact
search's n_items^2 x d multiplications, and no selection over all products. A graph (HNSW) would be quicker still, but
what it finds depends on the order in which threads insert.
"""

from __future__ import annotations

import importlib.util

import numpy as np
from numba import prange
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled
from llmi2i_cli.errors import ModelError
from llmi2i_cli.i2i.neighbours import Neighbours, ranking_key, tie_ranks
from llmi2i_cli.i2i.selection import offer, sort_descending

SEED = 42
CELLS_PROBED = 64  # at least
PROBED_SHARE = 1 / 16
VECTORS_PER_CELL = 64  # that k-means sees at most
QUERIES_AT_ONCE = 1 << 16


def require_faiss() -> None:
    """ModelError unless faiss is installed; imports nothing."""
    if importlib.util.find_spec("faiss") is None:
        raise ModelError("--search faiss needs the package faiss: pip install 'llmi2i[faiss]', or leave out --search")


def approximate_neighbours(
    directions: NDArray[np.float32], usable: NDArray[np.bool_], *, top_k: int, smallest: float
) -> Neighbours:
    """The `top_k` items of largest dot product for each item, the item itself left out; some may be missed.

    Deterministic for a given number of threads. Equal products are ordered by `tie_ranks`, among those that are found.

    Parameters
    ----------
    directions : float32 (n_items, d), of length 1 where usable
    usable : bool (n_items,), the items that get neighbours and may be neighbours
    smallest : products below this are left out; above float32's lowest number

    Raises
    ------
    ModelError : faiss is not installed
    """
    require_faiss()
    import faiss

    neighbours = Neighbours.empty(len(directions), top_k)
    items = np.flatnonzero(usable).astype(np.int32)
    if not len(items):
        return neighbours
    vectors = np.ascontiguousarray(directions[items])
    n_cells = min(len(items), max(1, int(4 * np.sqrt(len(items)))))
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], n_cells, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed = SEED
    index.cp.spherical = True
    index.cp.min_points_per_centroid = 1  # a small catalogue is no reason for a warning
    index.cp.max_points_per_centroid = VECTORS_PER_CELL
    index.nprobe = max(CELLS_PROBED, round(PROBED_SHARE * n_cells))
    index.train(vectors)
    index.add(vectors)
    ranks = tie_ranks(len(directions))
    for start in range(0, len(items), QUERIES_AT_ONCE):
        queries = slice(start, start + QUERIES_AT_ONCE)
        products, found = index.search(vectors[queries], top_k + 1)  # one more: the item itself
        _write_rows(
            items[queries], items[found], products, ranks, np.float32(smallest), neighbours.ids, neighbours.scores
        )
    return neighbours


@compiled(parallel=True)
def _write_rows(
    items: NDArray[np.int32],
    found: NDArray[np.int32],
    products: NDArray[np.float32],
    tie_rank: NDArray[np.int32],
    smallest: np.float32,
    ids: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """Rows of `items` from what was found for them, (n, more than top_k): the best, without the item itself."""
    for row in prange(len(items)):
        item = items[row]
        keys = np.empty(ids.shape[1], np.uint64)
        size = 0
        for column in range(found.shape[1]):
            other, product = found[row, column], products[row, column]
            if other != item and product >= smallest:  # padding has the lowest product there is
                size = offer(keys, ids[item], size, ranking_key(product, tie_rank[other]), column)
        sort_descending(keys, ids[item], size)
        for place in range(size):
            column = ids[item, place]
            ids[item, place] = found[row, column]
            scores[item, place] = products[row, column]
