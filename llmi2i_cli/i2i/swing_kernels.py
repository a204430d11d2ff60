"""The two loops of Swing, see `swing`: over the pairs of users, and over the rows of items."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from llmi2i_cli.i2i.best_rows import write_best
from llmi2i_cli.i2i.bits import count_ones, lowest_one
from llmi2i_cli.i2i.incidence import Incidence

ONE = np.uint64(1)


N_HEAVY = 64  # most popular items: which of them a user has is one word


class Plan(NamedTuple):
    """Which pairs of users are met, and which rows of items they add to.

    Attributes
    ----------
    listed_ptr, listed_users : scanning item i meets the users ``listed_users[listed_ptr[i]:listed_ptr[i + 1]]``
    scan_from : int64 (n_entries,), where the scan of user u begins under each of its items: at the first v > u
    heavy : uint64 (n_users,), bit i is set if the user has item i, one of the `N_HEAVY` most popular
    look_up_below : items from `N_HEAVY` to here are looked up for each v that is met
    row_sums : int64 (n_entries,), where the |I_u| partial sums of the row (u, i) begin; -1 where u has no row for i
    symmetric : a pair adds to the rows of all items that it shares, so half of each square is summed and mirrored
    """

    listed_ptr: NDArray[np.int64]
    listed_users: NDArray[np.int32]
    scan_from: NDArray[np.int64]
    heavy: NDArray[np.uint64]
    look_up_below: int
    row_sums: NDArray[np.int64]
    symmetric: bool


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


@njit(cache=True)
def list_users(
    log: Incidence, listed: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.uint64]]:
    """`listed_ptr`, `listed_users`, `scan_from` and `heavy` of a plan, from `listed`, bool (n_entries,).

    A user scans the items under which it is listed itself.
    """
    n_users, n_items = len(log.user_ptr) - 1, len(log.item_ptr) - 1
    ptr = np.zeros(n_items + 1, np.int64)
    for entry in range(len(listed)):
        ptr[log.user_items[entry] + 1] += listed[entry]
    for item in range(n_items):
        ptr[item + 1] += ptr[item]
    fill = ptr[:-1].copy()
    users = np.empty(ptr[-1], np.int32)
    scan_from = np.empty(len(listed), np.int64)
    heavy = np.zeros(n_users, np.uint64)
    for user in range(n_users):
        for entry in range(log.user_ptr[user], log.user_ptr[user + 1]):
            item = log.user_items[entry]
            if item < N_HEAVY:
                heavy[user] |= ONE << np.uint64(item)
            if listed[entry]:
                users[fill[item]] = user
                fill[item] += 1
            scan_from[entry] = fill[item] if listed[entry] else ptr[item + 1]
    return ptr, users, scan_from, heavy


@njit(cache=True, nogil=True)
def sum_pairs(
    first_user: int, last_user: int, log: Incidence, plan: Plan, scoring: Scoring, sums: NDArray[np.float64]
) -> None:
    """Sum the excess of the pairs u < v that share three items or more, for u = first_user .. last_user - 1.

    Fills the rows of these users: ``sums[plan.row_sums[entry of (u, i)] + k]`` is what u adds to (i, k-th item of u).
    """
    n_users = len(log.user_ptr) - 1
    weighted = len(log.weights) > 0
    symmetric = plan.symmetric
    n_bits = 0
    longest = 0
    for u in range(first_user, last_user):
        length = log.user_ptr[u + 1] - log.user_ptr[u]
        longest = max(longest, length)
        n_bits = max(n_bits, ((length + 63) >> 6) * (n_users - u - 1))
    bits = np.zeros(n_bits, np.uint64)  # (words of I_u, n_users - u - 1): the items under which each v > u was met
    met = np.empty(n_bits + 1, np.int32)  # v - u - 1 of each v that was met, once for each of its nonzero words
    place = np.zeros(len(log.item_ptr) - 1, np.int32)  # of each item in I_u, from 1; 0 where u does not have it
    words = np.empty((longest + 63) >> 6, np.uint64)  # what the pair at hand shares: the bits of places in I_u
    rows = np.empty(longest, np.int64)  # places of the items whose rows it adds to
    columns = np.empty(longest, np.int64)  # places of all items that it shares, ascending
    v_weights = np.empty(longest, np.float64)  # c_vi by place of i

    for u in range(first_user, last_user):
        start = log.user_ptr[u]
        n_words = (log.user_ptr[u + 1] - start + 63) >> 6
        width = n_users - u - 1
        n_heavy = count_ones(plan.heavy[u])  # the heavy items are the first of u
        light = ~np.uint64(0) << np.uint64(n_heavy) if n_heavy < N_HEAVY else np.uint64(0)
        n_met = _meet(u, log, plan, place, bits, met)
        for m in range(n_met):
            v = u + 1 + met[m]
            heavy = plan.heavy[u] & plan.heavy[v]
            met_under = bits[met[m]]
            bits[met[m]] = 0
            shared = count_ones(heavy) + count_ones(met_under & light)
            if n_words == 1 and symmetric and shared < 3:
                continue  # most pairs end here
            words[0] = met_under
            for w in range(1, n_words):
                words[w] = bits[w * width + met[m]]
                bits[w * width + met[m]] = 0
                shared += count_ones(words[w])
                met_under |= words[w]
            if met_under == 0:
                continue  # a long history's v, already done when it was met under an earlier word
            n_rows = 0 if symmetric else _places_of_ones(words, n_words, rows)
            words[0] &= light
            for entry in range(log.user_ptr[v] + count_ones(plan.heavy[v]), log.user_ptr[v + 1]):
                if log.user_items[entry] >= plan.look_up_below:
                    break
                k = place[log.user_items[entry]] - 1
                if k >= 0:
                    word = words[k >> 6]
                    words[k >> 6] = word | (ONE << np.uint64(k & 63))
                    shared += words[k >> 6] != word
            if shared < 3:
                continue

            n_columns = 0
            while heavy:
                columns[n_columns] = place[lowest_one(heavy)] - 1
                n_columns += 1
                heavy &= heavy - ONE
            n_columns += _places_of_ones(words, n_words, columns[n_columns:])
            if symmetric:
                n_rows = n_columns
            if weighted:
                for entry in range(log.user_ptr[v], log.user_ptr[v + 1]):
                    k = place[log.user_items[entry]] - 1
                    if k >= 0:
                        v_weights[k] = log.weights[entry]
            gain = scoring.user_weights[v] * scoring.excess[shared]
            for x in range(n_rows):
                k = columns[x] if symmetric else rows[x]
                row = plan.row_sums[start + k]
                for y in range(x + 1 if symmetric else 0, n_columns):
                    if weighted:
                        sums[row + columns[y]] += gain * (v_weights[k] * v_weights[columns[y]])
                    else:
                        sums[row + columns[y]] += gain
        _finish_square(u, log, plan, scoring, sums)
        for entry in range(start, log.user_ptr[u + 1]):
            place[log.user_items[entry]] = 0


@njit(cache=True)
def _meet(
    u: int, log: Incidence, plan: Plan, place: NDArray[np.int32], bits: NDArray[np.uint64], met: NDArray[np.int32]
) -> int:
    """Scan the items of u: set `place`, set a bit for each (v, item) and note each v > u in `met`; returns how many."""
    start = log.user_ptr[u]
    width = len(log.user_ptr) - 2 - u
    n_met = 0
    for k in range(log.user_ptr[u + 1] - start):
        item = log.user_items[start + k]
        place[item] = k + 1
        bit = ONE << np.uint64(k & 63)
        plane = (k >> 6) * width - (u + 1)
        for listed in range(plan.scan_from[start + k], plan.listed_ptr[item + 1]):
            v = plan.listed_users[listed]
            word = bits[plane + v]
            bits[plane + v] = word | bit
            met[n_met] = v - (u + 1)
            n_met += word == 0
    return n_met


@njit(cache=True)
def _finish_square(u: int, log: Incidence, plan: Plan, scoring: Scoring, sums: NDArray[np.float64]) -> None:
    """Multiply the rows of u by its own share of X_u; mirror them where only half was summed."""
    start = log.user_ptr[u]
    length = log.user_ptr[u + 1] - start
    for k in range(length):
        row = plan.row_sums[start + k]
        if row < 0:
            continue
        for c in range(k + 1 if plan.symmetric else 0, length):
            u_share = scoring.user_weights[u]
            if len(log.weights) > 0:
                u_share *= log.weights[start + k] * log.weights[start + c]
            sums[row + c] *= u_share
            if plan.symmetric:
                sums[plan.row_sums[start + c] + k] = sums[row + c]


@njit(cache=True, inline="always")
def _places_of_ones(words: NDArray[np.uint64], n_words: int, places: NDArray[np.int64]) -> int:
    """Write the places of the bits that are set, ascending; returns how many."""
    n = 0
    for w in range(n_words):
        word = words[w]
        while word:
            places[n] = (w << 6) + lowest_one(word)
            n += 1
            word &= word - ONE
    return n


@njit(cache=True, nogil=True)
def rank_rows(
    first_item: int,
    last_item: int,
    log: Incidence,
    plan: Plan,
    scoring: Scoring,
    sums: NDArray[np.float64],
    tie_ranks: NDArray[np.int32],
    ids: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """Write the best neighbours of the items first_item .. last_item - 1 to their rows of the catalogue.

    `tie_ranks`, `ids` and `scores` are in the order of the catalogue, int32 (n_items,), int32 and float32 (n_items, k).
    """
    n_items = len(log.item_ptr) - 1
    weighted = len(log.weights) > 0
    seen = np.zeros(n_items, np.float64)  # sum of X_v over the users so far that have both items
    total = np.zeros(n_items, np.float64)
    touched = np.empty(n_items, np.int32)

    for item in range(first_item, last_item):
        n_touched = 0
        for p in range(log.item_ptr[item], log.item_ptr[item + 1]):
            entry = log.item_entries[p]
            row = plan.row_sums[entry]
            if row < 0:
                continue
            user = log.item_users[p]
            start = log.user_ptr[user]
            item_share = scoring.user_weights[user]
            if weighted:
                item_share *= log.weights[entry]
            for k in range(log.user_ptr[user + 1] - start):
                other = log.user_items[start + k]
                share = item_share * log.weights[start + k] if weighted else item_share
                if share > 0:
                    before = seen[other]
                    touched[n_touched] = other
                    n_touched += before == 0
                    total[other] += scoring.base * share * before + sums[row + k]
                    seen[other] = before + share
        for t in range(n_touched):
            seen[touched[t]] = 0
        write_best(item, total, touched[:n_touched], log.item_order, tie_ranks, ids, scores)
