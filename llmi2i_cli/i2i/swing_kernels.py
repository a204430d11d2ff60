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
USERS_AT_A_TIME = 1 << 14  # v: 512 KiB of bits, which the second-level cache holds


class Plan(NamedTuple):
    """Which pairs of users are met, and which rows of items they add to.

    Attributes
    ----------
    listed_ptr, listed_users : scanning item i meets the users ``listed_users[listed_ptr[i]:listed_ptr[i + 1]]``
    scan_from : int64 (n_entries,), where the scan of user u begins under each of its items: at the first v > u
    heavy : uint64 (n_users,), bit i is set if the user has item i, one of the `N_HEAVY` most popular
    look_up_below : items from `N_HEAVY` to here are looked up for each v that is met
    look_up_bits : uint64 (n_users,), a bit for each item of the user to look up, by its remainder of 64
    row_sums : int64 (n_entries,), where the |I_u| partial sums of the row (u, i) begin; -1 where u has no row for i
    only_where_met : a pair adds to the rows of items that it was met under; else to those of all that it shares
    symmetric : every row is there, so half of each square is summed and mirrored
    """

    listed_ptr: NDArray[np.int64]
    listed_users: NDArray[np.int32]
    scan_from: NDArray[np.int64]
    heavy: NDArray[np.uint64]
    look_up_below: int
    look_up_bits: NDArray[np.uint64]
    row_sums: NDArray[np.int64]
    only_where_met: bool
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
    log: Incidence, listed: NDArray[np.bool_], look_up_below: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
    """`listed_ptr`, `listed_users`, `scan_from`, `heavy` and `look_up_bits` of a plan.

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
    look_up_bits = np.zeros(n_users, np.uint64)
    for user in range(n_users):
        for entry in range(log.user_ptr[user], log.user_ptr[user + 1]):
            item = log.user_items[entry]
            if item < N_HEAVY:
                heavy[user] |= ONE << np.uint64(item)
            elif item < look_up_below:
                look_up_bits[user] |= ONE << np.uint64(item & 63)
            if listed[entry]:
                users[fill[item]] = user
                fill[item] += 1
            scan_from[entry] = fill[item] if listed[entry] else ptr[item + 1]
    return ptr, users, scan_from, heavy, look_up_bits


@njit(cache=True, nogil=True)
def sum_pairs(
    first_user: int, last_user: int, log: Incidence, plan: Plan, scoring: Scoring, sums: NDArray[np.float64]
) -> None:
    """Sum the excess of the pairs u < v that share three items or more, for u = first_user .. last_user - 1.

    Fills the rows of these users: ``sums[plan.row_sums[entry of (u, i)] + k]`` is what u adds to (i, k-th item of u).
    """
    n_users = len(log.user_ptr) - 1
    weighted = len(log.weights) > 0
    looks_up = plan.look_up_below > N_HEAVY
    longest = 0
    for u in range(first_user, last_user):
        longest = max(longest, log.user_ptr[u + 1] - log.user_ptr[u])
    width = min(USERS_AT_A_TIME, n_users)
    bits = np.zeros(((longest + 63) >> 6) * width, np.uint64)  # (words of I_u, width): the items each v was met under
    met = np.empty(len(bits) + 1, np.int32)  # each v that was met, from first_v, once for each of its nonzero words
    place = np.zeros(len(log.item_ptr) - 1, np.int32)  # of each item in I_u, from 1; 0 where u does not have it
    words = np.empty((longest + 63) >> 6, np.uint64)  # what the pair at hand shares: the bits of places in I_u
    rows = np.empty(longest, np.int64)  # places of the items whose rows it may add to
    columns = np.empty(longest, np.int64)  # places of all items that it shares, ascending
    v_weights = np.empty(longest, np.float64)  # c_vi by place of i
    scanned = plan.scan_from[
        log.user_ptr[first_user] : log.user_ptr[last_user]
    ].copy()  # how far each list has been read

    for first_v in range(first_user + 1, n_users, USERS_AT_A_TIME):
        last_v = min(first_v + USERS_AT_A_TIME, n_users)
        for u in range(first_user, min(last_user, last_v - 1)):
            start = log.user_ptr[u]
            length = log.user_ptr[u + 1] - start
            n_words = (length + 63) >> 6
            for k in range(length):
                place[log.user_items[start + k]] = k + 1
            n_heavy = count_ones(plan.heavy[u])  # the heavy items are the first of u
            light = ~np.uint64(0) << np.uint64(n_heavy) if n_heavy < N_HEAVY else np.uint64(0)
            n_unseen = 0  # items to look up that share their bit with another one of u
            if looks_up:
                for k in range(n_heavy, length):
                    n_unseen += log.user_items[start + k] < plan.look_up_below
                n_unseen -= count_ones(plan.look_up_bits[u])

            n_met = _meet(u, first_v, last_v, width, log, plan, scanned[start - log.user_ptr[first_user] :], bits, met)
            for m in range(n_met):
                v = first_v + met[m]
                heavy = plan.heavy[u] & plan.heavy[v]
                met_under = bits[met[m]]
                bits[met[m]] = 0
                shared = count_ones(heavy) + count_ones(met_under & light)
                at_most = shared
                if looks_up:
                    at_most += count_ones(plan.look_up_bits[u] & plan.look_up_bits[v]) + n_unseen
                if n_words == 1 and at_most < 3:
                    continue  # most pairs end here
                words[0] = met_under
                for w in range(1, n_words):
                    words[w] = bits[w * width + met[m]]
                    bits[w * width + met[m]] = 0
                    shared += count_ones(words[w])
                    met_under |= words[w]
                if met_under == 0:
                    continue  # a long history's v, already done when it was met under an earlier word
                n_rows = _places_of_ones(words, n_words, rows) if plan.only_where_met else 0
                words[0] &= light
                if looks_up:
                    shared += _look_up(v, log, plan, place, words)
                if shared < 3:
                    continue

                n_columns = 0
                while heavy:
                    columns[n_columns] = place[lowest_one(heavy)] - 1
                    n_columns += 1
                    heavy &= heavy - ONE
                n_columns += _places_of_ones(words, n_words, columns[n_columns:])
                if weighted:
                    for entry in range(log.user_ptr[v], log.user_ptr[v + 1]):
                        k = place[log.user_items[entry]] - 1
                        if k >= 0:
                            v_weights[k] = log.weights[entry]
                gain = scoring.user_weights[v] * scoring.excess[shared]
                for x in range(n_rows if plan.only_where_met else n_columns):
                    k = rows[x] if plan.only_where_met else columns[x]
                    row = plan.row_sums[start + k]
                    if row < 0:
                        continue
                    for y in range(x + 1 if plan.symmetric else 0, n_columns):
                        if weighted:
                            sums[row + columns[y]] += gain * (v_weights[k] * v_weights[columns[y]])
                        else:
                            sums[row + columns[y]] += gain
            for k in range(length):
                place[log.user_items[start + k]] = 0
    for u in range(first_user, last_user):
        _finish_square(u, log, plan, scoring, sums)


@njit(cache=True)
def _meet(
    u: int,
    first_v: int,
    last_v: int,
    width: int,
    log: Incidence,
    plan: Plan,
    scanned: NDArray[np.int64],
    bits: NDArray[np.uint64],
    met: NDArray[np.int32],
) -> int:
    """Scan the items of u for first_v <= v < last_v: set the bit of each (v, item), note v in `met`; returns how many.

    `scanned`, int64 (|I_u|,) or longer, is where each scan begins, and then where it ended.
    """
    n_met = 0
    for k in range(log.user_ptr[u + 1] - log.user_ptr[u]):
        end = plan.listed_ptr[log.user_items[log.user_ptr[u] + k] + 1]
        bit = ONE << np.uint64(k & 63)
        plane = (k >> 6) * width - first_v
        listed = scanned[k]
        while listed < end and plan.listed_users[listed] < last_v:
            v = plan.listed_users[listed]
            word = bits[plane + v]
            bits[plane + v] = word | bit
            met[n_met] = v - first_v
            n_met += word == 0
            listed += 1
        scanned[k] = listed
    return n_met


@njit(cache=True)
def _look_up(v: int, log: Incidence, plan: Plan, place: NDArray[np.int32], words: NDArray[np.uint64]) -> int:
    """Set the bits of the items of v to look up that u has too; returns how many were not set before."""
    n_new = 0
    for entry in range(log.user_ptr[v] + count_ones(plan.heavy[v]), log.user_ptr[v + 1]):
        if log.user_items[entry] >= plan.look_up_below:
            break
        k = place[log.user_items[entry]] - 1
        if k >= 0:
            word = words[k >> 6]
            words[k >> 6] = word | (ONE << np.uint64(k & 63))
            n_new += words[k >> 6] != word
    return n_new


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
