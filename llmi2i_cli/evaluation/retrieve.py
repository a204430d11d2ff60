"""From an index to recommendations: look up a user's M most recent items, sum their K neighbours' scores, rank.

This is what a recommender does online. Offline it runs for all users at once, and evaluation measures exactly the
ranking that is served: `rank_one` and `retrieve` share one kernel.

Cost: a query adds up to M x K scores in a hash table of 4 x M x K slots (16 bytes each) or one slot per item, whichever
is less, so that it stays in the cache whatever the size of the catalogue, and then passes once over the distinct items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import get_num_threads, prange
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.compiled import compiled
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours, ranking_key, tie_ranks
from llmi2i_cli.i2i.selection import offer, sort_descending

BLOCKS_PER_THREAD = 8  # long and short histories even out


@dataclass(frozen=True)
class Rankings:
    """Ranked items of each query, best first.

    Attributes
    ----------
    ids : int32 (n_queries, top_n), item indices, padded with -1
    scores : float32 (n_queries, top_n), 0 where padded
    n_retrieved : int32 (n_queries,), distinct items that were retrieved, before the cut to `top_n`
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    n_retrieved: NDArray[np.int32]


RankByLookups = Callable[..., Iterator[Rankings]]  # as `rank_by_lookups`, whoever does the work


def retrieve(
    neighbours: Neighbours,
    queries: Histories,
    *,
    recent: int,
    top_n: int,
    exclude: Histories | None = None,
    decay: float = 1.0,
) -> Rankings:
    """Rank the catalogue for every query by the summed scores of its recent items' neighbours.

    Parameters
    ----------
    neighbours : the index, (n_items, k)
    queries : one row per query, oldest first; an item that occurs twice among the recent ones counts twice
    recent : M, how many of the last interactions are looked up
    top_n : length of the rankings
    exclude : rows aligned with `queries`; their items are left out of the rankings. None leaves nothing out
    decay : the a-th most recent interaction (from 0) counts `decay` ** a

    Returns
    -------
    Rankings, equal for any number of threads. Equal scores are ordered by `tie_ranks`.
    """
    if exclude is None:
        exclude = Histories(np.zeros(queries.n_users + 1, np.int64), np.empty(0, np.int32), queries.n_items)
    if exclude.n_users != queries.n_users:
        raise ValueError(f"exclude has {exclude.n_users} rows, queries have {queries.n_users}")
    ids = np.full((queries.n_users, top_n), EMPTY, np.int32)
    scores = np.zeros((queries.n_users, top_n), np.float32)
    n_retrieved = np.zeros(queries.n_users, np.int32)
    _retrieve_all(
        neighbours.ids,
        neighbours.scores,
        tie_ranks(neighbours.n_items),
        queries.ptr,
        queries.items,
        exclude.ptr,
        exclude.items,
        np.power(decay, np.arange(min(recent, queries.lengths.max(initial=0)))),
        min(BLOCKS_PER_THREAD * get_num_threads(), max(queries.n_users, 1)),
        ids,
        scores,
        n_retrieved,
    )
    return Rankings(ids, scores, n_retrieved)


def rank_by_lookups(
    neighbours: Neighbours,
    queries: Histories,
    lookups: Sequence[tuple[int, float]],
    *,
    top_n: int,
    exclude_seen: bool,
) -> Iterator[Rankings]:
    """`retrieve` at each lookup, (M, decay), one after the other; `exclude_seen` leaves out the query's own items."""
    exclude = queries if exclude_seen else None
    for recent, decay in lookups:
        yield retrieve(neighbours, queries, recent=recent, top_n=top_n, exclude=exclude, decay=decay)


def rank_one(
    neighbour_ids: NDArray[np.int32],
    neighbour_scores: NDArray[np.float32],
    tie_rank: NDArray[np.int32],
    query: NDArray[np.int32],
    exclude: NDArray[np.int32],
    top_n: int,
    decay: float = 1.0,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rank for a single query, all of whose items are looked up; for serving.

    Parameters
    ----------
    neighbour_ids, neighbour_scores : (n_items, k), may be memory-mapped: only the rows of `query` are touched
    tie_rank : int32 (n_items,) from `tie_ranks`
    query : int32 (m,), item indices, oldest first
    exclude : int32, item indices to leave out
    decay : as in `retrieve`

    Returns
    -------
    ids int32 (n,), scores float32 (n,), n <= `top_n`
    """
    ids = np.empty(top_n, np.int32)
    scores = np.empty(top_n, np.float32)
    decays = np.power(decay, np.arange(len(query)))
    found = _rank_one(neighbour_ids, neighbour_scores, tie_rank, query, decays, exclude, ids, scores)
    return ids[:found], scores[:found]


@compiled()
def _address_bits(additions: int, n_items: int) -> Any:
    """Address bits of the hash table: 2**bits slots are at least 4 x `additions`, or one for every item."""
    bits = 4
    while (1 << bits) < min(4 * additions, n_items):
        bits += 1
    return np.uint64(bits)


@compiled(inline="always")
def _slot_of(item: int, slot_items: NDArray[np.int32], bits: Any) -> Any:
    """The slot that holds `item`, or the free one where it belongs (linear probing).

    A table with a slot for every item has no collisions: `item` is its own address then.
    """
    mask = np.uint64(len(slot_items) - 1)
    slot = (np.uint64(item) ^ (np.uint64(item) >> bits)) & mask
    while slot_items[slot] != item and slot_items[slot] != EMPTY:
        slot = (slot + np.uint64(1)) & mask  # unsigned: numba then spares the test for a negative index
    return slot


@compiled()
def _sum_and_rank(
    neighbour_ids: NDArray[np.int32],
    neighbour_scores: NDArray[np.float32],
    tie_rank: NDArray[np.int32],
    recent_items: NDArray[np.int32],
    decays: NDArray[np.float64],
    exclude: NDArray[np.int32],
    bits: Any,
    slot_items: NDArray[np.int32],
    slot_sums: NDArray[np.float64],
    used_slots: NDArray[np.int32],
    keys: NDArray[np.uint64],
    ids: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> tuple[int, int]:
    """One query. The table (`slot_items`, `slot_sums`) is empty before and after.

    Returns the number of ranked and of retrieved items.
    """
    n_used = np.uint64(0)
    for age in range(len(recent_items)):
        item = recent_items[len(recent_items) - 1 - age]
        row_ids = neighbour_ids[item]
        row_scores = neighbour_scores[item]
        for column in range(len(row_ids)):
            neighbour = row_ids[column]
            if neighbour == EMPTY:
                break
            slot = _slot_of(neighbour, slot_items, bits)
            if slot_items[slot] == EMPTY:
                slot_items[slot] = neighbour
                slot_sums[slot] = 0.0
                used_slots[n_used] = slot
                n_used += np.uint64(1)
            slot_sums[slot] += decays[age] * row_scores[column]

    for item in exclude:
        slot = _slot_of(item, slot_items, bits)
        if slot_items[slot] == item:
            slot_sums[slot] = -np.inf

    size = 0
    n_retrieved = 0
    for index in range(n_used):
        slot = np.uint64(used_slots[index])
        if slot_sums[slot] == -np.inf:
            continue
        n_retrieved += 1
        if size == len(keys) and ranking_key(slot_sums[slot], 0) < keys[0]:
            continue  # not even the best tie rank would help: spares the look-up of its own
        size = offer(keys, ids, size, ranking_key(slot_sums[slot], tie_rank[slot_items[slot]]), slot)
    sort_descending(keys, ids, size)
    for place in range(size):
        slot = np.uint64(ids[place])
        ids[place] = slot_items[slot]
        scores[place] = slot_sums[slot]
    for index in range(n_used):
        slot_items[used_slots[index]] = EMPTY
    return size, n_retrieved


@compiled(parallel=True)
def _retrieve_all(
    neighbour_ids: NDArray[np.int32],
    neighbour_scores: NDArray[np.float32],
    tie_rank: NDArray[np.int32],
    query_ptr: NDArray[np.int64],
    query_items: NDArray[np.int32],
    exclude_ptr: NDArray[np.int64],
    exclude_items: NDArray[np.int32],
    decays: NDArray[np.float64],
    n_blocks: int,
    ids: NDArray[np.int32],
    scores: NDArray[np.float32],
    n_retrieved: NDArray[np.int32],
) -> None:
    n_queries = len(query_ptr) - 1
    longest = 0
    for query in range(n_queries):
        longest = max(longest, query_ptr[query + 1] - query_ptr[query])
    additions = min(longest, len(decays)) * neighbour_ids.shape[1]
    bits = _address_bits(additions, len(tie_rank))
    slots = 1 << bits
    for block in prange(n_blocks):
        slot_items = np.full(slots, EMPTY, np.int32)
        slot_sums = np.empty(slots, np.float64)
        used_slots = np.empty(min(additions, len(tie_rank)), np.int32)
        keys = np.empty(ids.shape[1], np.uint64)
        for query in range(block, n_queries, n_blocks):
            first = max(query_ptr[query], query_ptr[query + 1] - len(decays))
            size, found = _sum_and_rank(
                neighbour_ids,
                neighbour_scores,
                tie_rank,
                query_items[first : query_ptr[query + 1]],
                decays,
                exclude_items[exclude_ptr[query] : exclude_ptr[query + 1]],
                bits,
                slot_items,
                slot_sums,
                used_slots,
                keys,
                ids[query],
                scores[query],
            )
            n_retrieved[query] = found
            ids[query, size:] = EMPTY


@compiled()
def _rank_one(
    neighbour_ids: NDArray[np.int32],
    neighbour_scores: NDArray[np.float32],
    tie_rank: NDArray[np.int32],
    query: NDArray[np.int32],
    decays: NDArray[np.float64],
    exclude: NDArray[np.int32],
    ids: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> int:
    additions = len(query) * neighbour_ids.shape[1]
    bits = _address_bits(additions, len(tie_rank))
    slots = 1 << bits
    size, _ = _sum_and_rank(
        neighbour_ids,
        neighbour_scores,
        tie_rank,
        query,
        decays,
        exclude,
        bits,
        np.full(slots, EMPTY, np.int32),
        np.empty(slots, np.float64),
        np.empty(min(additions, len(tie_rank)), np.int32),
        np.empty(len(ids), np.uint64),
        ids,
        scores,
    )
    return size
