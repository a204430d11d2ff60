"""Swing (Yang et al., "Large Scale Product Graph Construction for Recommendation in E-commerce", arXiv 2010.05525).

Two items are near when many pairs of users share both, the more so the less else these users share:

    s(i, j) = sum over pairs of users u < v that both have i and j of   X_u(i, j) X_v(i, j) / (smoothing + |I_u & I_v|),
    X_u(i, j) = w_u c_ui c_uj,   w_u = (A + |I_u|)^-B,   c the interactions' weights (1 when the log has none).

How it is computed
------------------
Most pairs of users share one item and add nothing, and most of the rest share just two. With g = 1 / (smoothing + 2),

    s(i, j) = g * sum over u < v of X_u X_v
              + sum over u < v with |I_u & I_v| >= 3 of (1 / (smoothing + |I_u & I_v|) - g) X_u X_v.

The first sum needs no pairs: it is the second elementary symmetric polynomial of the X_u, updated user by user. For
the second, the row of item i looks at the small log of the users of i alone, from the longest history to the shortest.
Each user u scans the lists of its other items, which hold the users before it, and sets for each v that it meets one
bit per shared item: what they share comes out as a word (several for a long history), its size by a popcount. Then u
joins the lists. All of this stays in the cache.

The longest lists are cut. Of the items that a pair shares beside i, the least popular has a more popular one beside it
in both histories when there are two; so a user scans and joins all but the list of its most popular item (prefix
filtering, Chaudhuri et al., ICDE 2006). Which of the 64 most popular items a user has is one word, so that the item
left out is found again by one AND; it is left out when it is among these.

Cost. For each user of each item, some steps for each item of its history: |I_u|^2 for each user, the whole of it when
histories share little. For each pair of users, at most n (n - 1) steps when it shares n items, fewer by the cut lists;
pairs that share one item cost nothing. Memory: 40 bytes per item and thread, 4 for each interaction of the users of one
item, and some 30 for each interaction of the log; nothing grows with the number of pairs. Rows do not depend on each
other: an item is the unit of parallel work, and `max_item_users` bounds the largest.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.model_options import SwingOptions
from llmi2i_cli.choices.options import as_given
from llmi2i_cli.errors import UsageError
from llmi2i_cli.i2i.incidence import Incidence, incidence
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.row_job import RowJob, rank_rows
from llmi2i_cli.i2i.swing_kernels import Scoring, heavy_items
from llmi2i_cli.i2i.training import Job, Trained


class SwingArguments(NamedTuple):
    """What the kernel is given beside its rows, see `swing_kernels.rank_rows`."""

    log: Incidence
    drawn: NDArray[np.bool_]
    heavy: NDArray[np.uint64]
    scoring: Scoring


def swing_neighbours(
    histories: Histories, *, top_k: int = 200, normalise: bool = SwingOptions.normalise, **options: Any
) -> Neighbours:
    """The table of `swing_rows`; with `normalise` each row is divided by its highest score."""
    return _scaled(rank_rows(swing_rows(histories, top_k=top_k, **options)), normalise)


def swing_rows(
    histories: Histories,
    *,
    top_k: int,
    smoothing: float = SwingOptions.smoothing,
    user_weight: str = SwingOptions.user_weight,
    max_user_items: int = SwingOptions.max_user_items,
    max_item_users: int = SwingOptions.max_item_users,
    seed: int = SwingOptions.seed,
) -> RowJob:
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
    seed : of the draws; whether a user is drawn depends on the seed, the item and the user's row alone

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
    drawn = _draw_users(log, max_item_users, seed)
    row_lengths = np.bincount(log.user_items[drawn], np.repeat(log.lengths, log.lengths)[drawn], minlength=log.n_items)
    n_members = np.bincount(log.user_items[drawn], minlength=log.n_items)
    costs = 10 * row_lengths + n_members * (n_members - 1) / 4  # of the pairs, about a quarter shares another item
    arguments = SwingArguments(log, drawn, heavy_items(log), scoring)
    return RowJob("llmi2i_cli.i2i.swing_kernels:rank_rows", arguments, costs, log.item_order, top_k)


def _scaled(neighbours: Neighbours, normalise: bool) -> Neighbours:
    if normalise:
        neighbours.scores[:] /= np.maximum(neighbours.scores[:, :1], np.finfo(np.float32).tiny)
    return neighbours


def train(job: Job, options: SwingOptions) -> Trained:
    """The row of `choices.models`."""
    given = dict(as_given(options))
    normalise = given.pop("normalise")
    return Trained(_scaled(job.rank(swing_rows(job.histories, top_k=job.top_k, **given)), normalise))


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
