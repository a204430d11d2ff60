"""Exact nearest items by dot product or cosine, for models that give each item a vector.

The scores of a block of queries against the whole catalogue are one matrix product, bounded by `BLOCK_BYTES`; the
best K of each row are selected in parallel. Work: n_queries x n_items x d multiplications; `faiss_search` finds nearly
the same neighbours with less.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.compiled import compiled
from llmi2i_cli.i2i.faiss_search import approximate_neighbours
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours, ranking_key, tie_ranks
from llmi2i_cli.i2i.selection import offer, sort_descending

BLOCK_BYTES = 64 << 20
SMALLEST_POSITIVE = float(np.finfo(np.float32).tiny)
LOWEST = float(np.finfo(np.float32).min)


def cosine_neighbours(
    item_vectors: NDArray[np.float32], known: NDArray[np.bool_], *, top_k: int, search: str = "exact"
) -> Neighbours:
    """The `top_k` items of largest cosine for each item, the item itself left out.

    Parameters
    ----------
    item_vectors : float32 (n_items, d)
    known : bool (n_items,), the items that the model has learned something about; the others get no neighbours and are
        nobody's neighbours, for their vectors are noise
    search : ``exact``, or ``faiss``: approximate, for large catalogues

    Raises
    ------
    ModelError : `search` is ``faiss``, which is not installed

    Notes
    -----
    Only positive cosines count: items that point apart are not similar, and would lower a sum of scores.
    """
    norms = np.linalg.norm(item_vectors, axis=1, keepdims=True)
    usable = known & (norms[:, 0] > 0)
    directions = np.where(usable[:, None], item_vectors / np.where(norms > 0, norms, 1), 0).astype(np.float32)
    if search == "faiss":
        return approximate_neighbours(directions, usable, top_k=top_k, smallest=SMALLEST_POSITIVE)
    itself = Histories(
        np.arange(len(directions) + 1, dtype=np.int64), np.arange(len(directions), dtype=np.int32), len(directions)
    )
    ids, scores = nearest_items(directions, directions, usable, top_k=top_k, exclude=itself, smallest=SMALLEST_POSITIVE)
    return Neighbours(ids, scores)


def nearest_items(
    queries: NDArray[np.float32],
    item_vectors: NDArray[np.float32],
    candidates: NDArray[np.bool_],
    *,
    top_k: int,
    exclude: Histories | None = None,
    smallest: float = -np.inf,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `top_k` items of largest dot product with each query vector; equal products are ordered by `tie_ranks`.

    Parameters
    ----------
    queries : float32 (n_queries, d)
    item_vectors : float32 (n_items, d)
    candidates : bool (n_items,), the items that may be returned
    exclude : rows aligned with `queries`; their items are left out
    smallest : products below this are left out

    Returns
    -------
    ids int32 (n_queries, top_k), padded with -1; scores float32 (n_queries, top_k), 0 where padded
    """
    n_items = len(item_vectors)
    ids = np.full((len(queries), top_k), EMPTY, np.int32)
    scores = np.zeros((len(queries), top_k), np.float32)
    if exclude is None:
        exclude = Histories(np.zeros(len(queries) + 1, np.int64), np.empty(0, np.int32), n_items)
    tie_rank = tie_ranks(n_items)
    block = max(1, BLOCK_BYTES // (4 * max(n_items, 1)))
    for start in range(0, len(queries), block):
        stop = min(start + block, len(queries))
        products = queries[start:stop] @ item_vectors.T  # (block, n_items)
        products[:, ~candidates] = -np.inf
        _select(
            products,
            tie_rank,
            exclude.ptr[start : stop + 1],
            exclude.items,
            np.float32(max(smallest, LOWEST)),
            ids[start:stop],
            scores[start:stop],
        )
    return ids, scores


def largest_of_rows(
    scores: NDArray[np.float32], tie_rank: NDArray[np.int32], *, top_k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `top_k` largest positive entries of each row of `scores`, float32 (n_rows, n_items), as `nearest_items`."""
    ids = np.full((len(scores), top_k), EMPTY, np.int32)
    best = np.zeros((len(scores), top_k), np.float32)
    nothing = np.zeros(len(scores) + 1, np.int64)
    _select(scores, tie_rank, nothing, np.empty(0, np.int32), np.float32(SMALLEST_POSITIVE), ids, best)
    return ids, best


@compiled(parallel=True)
def _select(
    products: NDArray[np.float32],
    tie_rank: NDArray[np.int32],
    exclude_ptr: NDArray[np.int64],
    exclude_items: NDArray[np.int32],
    smallest: np.float32,
    ids: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    for row in prange(len(products)):
        for index in range(exclude_ptr[row], exclude_ptr[row + 1]):
            products[row, exclude_items[index]] = -np.inf
        keys = np.empty(ids.shape[1], np.uint64)
        size = 0
        for item in range(products.shape[1]):
            product = products[row, item]
            if product < smallest or (size == len(keys) and ranking_key(product, 0) < keys[0]):
                continue
            size = offer(keys, ids[row], size, ranking_key(product, tie_rank[item]), item)
        sort_descending(keys, ids[row], size)
        for place in range(size):
            scores[row, place] = products[row, ids[row, place]]
