"""Swing (Yang et al., "Large Scale Product Graph Construction for Recommendation in E-commerce", arXiv 2010.05525).

Two items are near when many pairs of users share both, the more so the less else these users share:

    s(i, j) = sum over pairs of users u < v that both have i and j of   X_u(i, j) X_v(i, j) / (smoothing + |I_u & I_v|),
    X_u(i, j) = w_u c_ui c_uj,   w_u = (A + |I_u|)^-B,   c the interactions' weights (1 when the log has none).

How it is computed
------------------
Most pairs of users share one item and add nothing, and most of the rest share just two. With g = 1 / (smoothing + 2),

    s(i, j) = g * sum over u < v of X_u X_v
              + sum over u < v with |I_u & I_v| >= 3 of (1 / (smoothing + |I_u & I_v|) - g) X_u X_v.

The first sum needs no pairs: it is the second elementary symmetric polynomial of the X_u, updated user by user. For the
second, each user u scans the lists of its items and sets, for each v > u that it meets, one bit per shared item: the
set of shared items comes out as a word (several for a long history), its size by a popcount. What the pairs of u add
goes to |I_u| x |I_u| sums, a square that stays in the cache; squares meet only once all are done, item by item.

The longest lists are cut. Of the items that a pair shares, the least popular has two more popular ones beside it in
both histories when there are three; so a user is listed under all but its two most popular items (prefix filtering,
Chaudhuri et al., ICDE 2006). Which of the 64 most popular items a user has is one word, so that those left out are
found again by one AND; a user's first two are left out when they are among these.

Cost. With U_i' the users listed under i: |U_i'|^2 / 2 steps for each item, a few operations for each distinct pair that
is met, n (n - 1) / 2 additions for each that shares n >= 3 items, |I_u|^2 steps for each user to put the rows together.
Memory: 8 bytes for each of the sum of |I_u|^2 partial sums, in blocks of items when more than `SUMS_PER_BLOCK`;
some 50 bytes an interaction for lists.

With a draw of users, a pair adds to the rows of only those items that it was met under: all who were drawn are listed,
and the items with a draw are looked up for the pairs that may share three, at |I_v| steps each. Each block of items
meets the pairs anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.errors import UsageError
from llmi2i_cli.histories import Histories
from llmi2i_cli.i2i.incidence import Incidence, incidence
from llmi2i_cli.i2i.neighbours import Neighbours, tie_ranks
from llmi2i_cli.i2i.slices import run_slices
from llmi2i_cli.i2i.swing_kernels import N_HEAVY, Plan, Scoring, list_users, rank_rows, sum_pairs

SUMS_PER_BLOCK = 3 << 26  # partial sums that are held at a time: 1.5 GiB of float64


def swing_neighbours(
    histories: Histories,
    *,
    top_k: int = 200,
    smoothing: float = 5.0,
    user_weight: str = "sqrt",
    max_user_items: int = 1000,
    max_item_users: int = 0,
    normalise: bool = False,
    seed: int = 42,
    on_progress: Callable[[int, int], None] | None = None,
) -> Neighbours:
    """The `top_k` items with the highest Swing score of each item.

    A repeated (user, item) counts once, with the greatest of its weights; an interaction of weight 0 adds nothing but
    counts in |I_u| and |I_u & I_v|. Scores are float64 sums in a fixed order, so any number of threads gives the same
    bytes.

    Parameters
    ----------
    smoothing : added to |I_u & I_v|, at least 0
    user_weight : "one" (1), "sqrt" (|I_u|^-0.5) or "A:B", which means (A + |I_u|)^-B with A and B at least 0
    max_user_items : interactions of each user that count, the most recent; 0 for all. Applied before all else
    max_item_users : users drawn at random for an item that has more; 0 for all. The draw for item i limits the pairs
        that add to the row of i, not |I_u & I_v|
    normalise : divide each row by its highest score
    seed : of the draws; whether a user is drawn depends on the seed, the item and the user's row alone
    on_progress : called with (done, total) in units of work

    Raises
    ------
    UsageError : an option out of range
    """
    _check_options(top_k, smoothing, max_user_items, max_item_users)
    log = incidence(histories.most_recent(max_user_items), repeats="max")
    scoring = Scoring(
        user_weights=user_weights(user_weight, log.lengths),
        base=1 / (smoothing + 2),
        excess=1 / (smoothing + np.maximum(np.arange(log.lengths.max(initial=0) + 1), 2)) - 1 / (smoothing + 2),
    )
    neighbours = Neighbours.empty(log.n_items, top_k)
    ranks = tie_ranks(log.n_items)[log.item_order]
    drawn = _draw_users(log, max_item_users, seed)
    row_lengths = np.repeat(log.lengths, log.lengths)[drawn]
    sums_of_item = np.bincount(log.user_items[drawn], row_lengths, minlength=log.n_items).astype(np.int64)
    total, done = 2 * int(sums_of_item.sum()), 0

    for first, last in _blocks(sums_of_item, SUMS_PER_BLOCK):
        plan, pair_costs = _plan(log, drawn, first, last)
        sums = np.zeros(int(sums_of_item[first:last].sum()))
        row_costs = np.zeros_like(sums_of_item)
        row_costs[first:last] = sums_of_item[first:last]
        phases = (
            run_slices(sum_pairs, pair_costs, log, plan, scoring, sums),
            run_slices(rank_rows, row_costs, log, plan, scoring, sums, ranks, neighbours.ids, neighbours.scores),
        )
        for phase in phases:
            for share in phase:
                if on_progress:
                    on_progress(done + round(share * len(sums)), total)
            done += len(sums)
    if normalise:
        neighbours.scores[:] /= np.maximum(neighbours.scores[:, :1], np.finfo(np.float32).tiny)
    return neighbours


def user_weights(rule: str, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """w_u of each user from |I_u|, float64 (n_users,); `rule` is "one", "sqrt" or "A:B" for (A + |I_u|)^-B.

    Raises
    ------
    UsageError : any other rule
    """
    offset, exponent = {"one": (0.0, 0.0), "sqrt": (0.0, 0.5)}.get(rule) or _parse_rule(rule)
    return (offset + np.maximum(lengths, 1)) ** -exponent


def _parse_rule(rule: str) -> tuple[float, float]:
    try:
        offset, exponent = map(float, rule.split(":"))
    except ValueError:
        offset = exponent = math.nan
    if not (0 <= offset < math.inf and 0 <= exponent < math.inf):
        raise UsageError(f"user weight {rule!r} is not one, sqrt or A:B with numbers of at least 0 for (A + |I_u|)^-B")
    return offset, exponent


def _check_options(top_k: int, smoothing: float, max_user_items: int, max_item_users: int) -> None:
    if top_k < 1:
        raise UsageError(f"top-k must be at least 1, not {top_k}")
    if not 0 <= smoothing < math.inf:
        raise UsageError(f"smoothing must be a number of at least 0, not {smoothing}")
    if max_user_items < 0 or max_item_users < 0:
        raise UsageError("max-user-items and max-item-users must be at least 0 (0 for no limit)")


def _draw_users(log: Incidence, max_item_users: int, seed: int) -> NDArray[np.bool_]:
    """Which entries take part in the row of their item, bool (n_entries,): at most `max_item_users` an item.

    Each (item, user) gets a pseudo-random number of its own; the smallest are drawn.
    """
    key = _mix(np.array([seed], np.uint64))
    drawn = np.ones(len(log.user_items), np.bool_)
    for item in np.flatnonzero(np.diff(log.item_ptr) > max_item_users) if max_item_users else ():
        row = slice(log.item_ptr[item], log.item_ptr[item + 1])
        lots = _mix(
            log.user_order[log.item_users[row]].astype(np.uint64)
            ^ _mix(log.item_order[item : item + 1].astype(np.uint64) ^ key)
        )
        drawn[log.item_entries[row]] = lots <= np.partition(lots, max_item_users - 1)[max_item_users - 1]
    return drawn


def _mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele et al., 2014): a bijection that leaves no trace of order."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _blocks(costs: NDArray[np.int64], budget: int) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of items whose costs sum to at most `budget`; an item over it makes a range of its own."""
    first, spent = 0, 0
    for item, cost in enumerate(costs.tolist()):
        if item > first and spent + cost > budget:
            yield first, item
            first, spent = item, 0
        spent += cost
    yield first, len(costs)


def _plan(log: Incidence, drawn: NDArray[np.bool_], first_item: int, last_item: int) -> tuple[Plan, NDArray[np.int64]]:
    """How to sum the rows of items first_item .. last_item - 1, and what that costs for each user, int64 (n_users,)."""
    rows = drawn & (log.user_items >= first_item) & (log.user_items < last_item)
    only_where_met = not drawn.all()
    if only_where_met:
        listed = drawn
        look_up_below = int(log.user_items[~drawn].max()) + 1
    else:
        place = np.arange(len(rows)) - np.repeat(log.user_ptr[:-1], log.lengths)
        listed = (place >= 2) | (log.user_items >= N_HEAVY)
        look_up_below = 0
    row_lengths = np.where(rows, np.repeat(log.lengths, log.lengths), 0)
    row_sums = np.where(rows, np.cumsum(row_lengths) - row_lengths, -1)
    listed_ptr, listed_users, scan_from, heavy, look_up_bits = list_users(log, listed, look_up_below)
    plan = Plan(
        listed_ptr=listed_ptr,
        listed_users=listed_users,
        scan_from=scan_from,
        heavy=heavy,
        look_up_below=look_up_below,
        look_up_bits=look_up_bits,
        row_sums=row_sums,
        only_where_met=only_where_met,
        symmetric=bool(rows.all()),
    )
    return plan, _sums_by_user(log, listed_ptr[log.user_items + 1] - scan_from) + log.lengths


def _sums_by_user(log: Incidence, values: NDArray) -> NDArray[np.int64]:
    """Sum of a value of each entry over the entries of each user, int64 (n_users,)."""
    ends = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return np.diff(ends[log.user_ptr])
