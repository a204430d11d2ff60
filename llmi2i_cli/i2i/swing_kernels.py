"""The loop of Swing, see `swing`: the row of each item from the pairs among its users."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled
from llmi2i_cli.i2i.best_rows import Rows, write_best
from llmi2i_cli.i2i.bits import count_ones, lowest_one
from llmi2i_cli.i2i.incidence import Incidence

N_HEAVY = 64  # most popular items: which of them a user has is one word
ONE = np.uint64(1)

# What a row keeps of each other item j; in one record, for the cache's sake.
CELL = np.dtype(
    [
        ("seen", np.float64),  # sum of X_v(i, j) over the users so far
        ("total", np.float64),  # the score
        ("begin", np.int64),  # where the list of j begins
        ("end", np.int64),  # where it ends so far; before there are lists, the number of users who have j
    ]
)


class Scoring(NamedTuple):
    """What a pair of users adds to the items that it shares.

    Attributes
    ----------
    user_weights : float64 (n_users,)
    base : 1 / (smoothing + 2), the gain of a pair that shares two items
    excess : float64 (longest history + 1,), indexed by the number of shared items: 1 / (smoothing + shared) - base
    """

    user_weights: NDArray[np.float64]
    base: float
    excess: NDArray[np.float64]


class Members(NamedTuple):
    """The users of a row's item i, shortest history first; arrays as long as the longest row.

    Attributes
    ----------
    users : int32
    shares : float64, w_u c_ui
    heavy : uint64, which of the `N_HEAVY` most popular items the user has, i left out
    """

    users: NDArray[np.int32]
    shares: NDArray[np.float64]
    heavy: NDArray[np.uint64]


@compiled()
def heavy_items(log: Incidence) -> NDArray[np.uint64]:
    """Bit i is set where the user has item i, one of the `N_HEAVY` most popular; uint64 (n_users,)."""
    heavy = np.zeros(len(log.user_ptr) - 1, np.uint64)
    for item in range(min(N_HEAVY, len(log.item_ptr) - 1)):
        for p in range(log.item_ptr[item], log.item_ptr[item + 1]):
            heavy[log.item_users[p]] |= ONE << np.uint64(item)
    return heavy


@compiled()
def rank_rows(
    first_item: int,
    last_item: int,
    log: Incidence,
    drawn: NDArray[np.bool_],
    heavy: NDArray[np.uint64],
    scoring: Scoring,
    rows: Rows,
) -> None:
    """Write the neighbours of the items first_item .. last_item - 1 to their rows of the catalogue.

    Parameters
    ----------
    drawn : bool (n_entries,), whether the user's pairs add to the row of the item
    heavy : uint64 (n_users,), see `heavy_items`
    """
    longest_row = 0
    for item in range(first_item, last_item):
        longest_row = max(longest_row, log.item_ptr[item + 1] - log.item_ptr[item])
    members = Members(np.empty(longest_row, np.int32), np.empty(longest_row), np.empty(longest_row, np.uint64))
    cells = np.zeros(len(log.item_ptr) - 1, CELL)
    touched = np.empty(len(cells) + 1, np.int32)  # one more: written before it is known to be new
    totals = np.zeros(len(cells))
    n_words = (len(scoring.excess) + 63) >> 6
    bits = np.zeros(n_words * longest_row, np.uint64)

    for item in range(first_item, last_item):
        n_members = 0
        n_touched = 0
        for p in range(log.item_ptr[item], log.item_ptr[item + 1]):
            entry = log.item_entries[p]
            if not drawn[entry]:
                continue
            user = log.item_users[p]
            share = scoring.user_weights[user]
            if len(log.weights) > 0:
                share *= log.weights[entry]
            members.users[n_members] = user
            members.shares[n_members] = share
            members.heavy[n_members] = heavy[user]
            if item < N_HEAVY:
                members.heavy[n_members] ^= ONE << np.uint64(item)
            n_members += 1
            n_touched = _add_base(user, share, log, scoring.base, cells, touched, n_touched)
        _add_excess(item, n_members, members, log, scoring, _lists(cells, touched[:n_touched]), bits, cells)
        for other in touched[:n_touched]:
            totals[other] = cells[other].total
            cells[other].seen = 0
            cells[other].total = 0
            cells[other].end = 0
        write_best(item, totals, touched[:n_touched], rows)


@compiled()
def _add_base(
    user: int, share: float, log: Incidence, base: float, cells: NDArray, touched: NDArray[np.int32], n_touched: int
) -> int:
    """Add to each item of the user its pairs with the users before, all at the base; returns the new `n_touched`."""
    for entry in range(log.user_ptr[user], log.user_ptr[user + 1]):
        other = log.user_items[entry]
        cell = cells[other]
        touched[n_touched] = other
        n_touched += cell.end == 0
        cell.end += 1
        user_share = share * log.weights[entry] if len(log.weights) > 0 else share
        cell.total += base * user_share * cell.seen
        cell.seen += user_share
    return n_touched


@compiled()
def _lists(cells: NDArray, touched: NDArray[np.int32]) -> NDArray[np.int32]:
    """Room for a list of users for each item touched, all of them empty."""
    n = 0
    for other in touched:
        cells[other].begin = n
        n += cells[other].end
        cells[other].end = cells[other].begin
    return np.empty(n, np.int32)


@compiled()
def _add_excess(
    item: int,
    n_members: int,
    members: Members,
    log: Incidence,
    scoring: Scoring,
    lists: NDArray[np.int32],
    bits: NDArray[np.uint64],
    cells: NDArray,
) -> None:
    """Add the excess of each pair of members that shares three items or more, from the longest history to the shortest.

    `bits`, uint64 (words of the longest history * n_members,) or longer, is zero before and after.
    """
    n_words_at_most = (len(scoring.excess) + 63) >> 6
    met = np.empty(n_words_at_most * n_members + 1, np.int32)  # each v met, once for each of its nonzero words
    words = np.empty(n_words_at_most, np.uint64)  # what the pair at hand shares: the bits of places in I_u
    gains = np.zeros(len(scoring.excess))  # sums over v for each place in I_u
    place = np.empty(N_HEAVY, np.int64)  # of each heavy item in I_u

    for u in range(n_members - 1, -1, -1):
        start = log.user_ptr[members.users[u]]
        length = log.user_ptr[members.users[u] + 1] - start
        n_words = (length + 63) >> 6
        n_heavy = 0  # of the places in I_u, the first
        n_met = 0
        n_others = 0
        for k in range(length):
            other = log.user_items[start + k]
            if other < N_HEAVY:
                place[other] = k
                n_heavy += 1
            if other == item:
                continue
            n_others += 1
            if n_others == 1 and other < N_HEAVY:
                continue  # the least popular item that a pair shares has another one before it
            cell = cells[other]
            bit = ONE << np.uint64(k & 63)
            plane = (k >> 6) * n_members
            for p in range(cell.begin, cell.end):
                v = lists[p]
                word = bits[plane + v]
                bits[plane + v] = word | bit
                met[n_met] = v
                n_met += word == 0
            lists[cell.end] = u
            cell.end += 1

        light = ~np.uint64(0) << np.uint64(n_heavy) if n_heavy < N_HEAVY else np.uint64(0)
        for m in range(n_met):
            v = met[m]
            heavy = members.heavy[u] & members.heavy[v]
            met_under = bits[v]
            bits[v] = 0
            shared = 1 + count_ones(heavy) + count_ones(met_under & light)
            if n_words == 1 and shared < 3:
                continue
            words[0] = met_under & light
            for w in range(1, n_words):
                words[w] = bits[w * n_members + v]
                bits[w * n_members + v] = 0
                shared += count_ones(words[w])
                met_under |= words[w]
            if shared < 3 or met_under == 0:  # nothing: v was met under an earlier word, and is done
                continue
            gain = members.shares[v] * scoring.excess[shared]
            while heavy:
                other = lowest_one(heavy)
                gains[place[other]] += gain * _weight(members.users[v], other, log)
                heavy &= heavy - ONE
            for w in range(n_words):
                while words[w]:
                    k = (w << 6) + lowest_one(words[w])
                    gains[k] += gain * _weight(members.users[v], log.user_items[start + k], log)
                    words[w] &= words[w] - ONE

        for k in range(length):
            share = members.shares[u]
            if len(log.weights) > 0:
                share *= log.weights[start + k]
            cells[log.user_items[start + k]].total += share * gains[k]
            gains[k] = 0


@compiled()
def _weight(user: int, item: int, log: Incidence) -> float:
    """The weight of an interaction that is there."""
    if len(log.weights) == 0:
        return 1.0
    low, high = log.user_ptr[user], log.user_ptr[user + 1]
    while high - low > 1:
        middle = (low + high) >> 1
        if log.user_items[middle] <= item:
            low = middle
        else:
            high = middle
    return np.float64(log.weights[low])
