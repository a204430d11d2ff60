"""Joining kept candidates to the real log.

Two strategies:

``append``
    the paper's: a user's synthetic items follow that user's history.
``pseudo-user``
    the real log stays untouched, and every user with kept candidates gets a second, pseudo user: a copy of the history
    with the synthetic items behind it. For a co-occurrence model the real evidence is then never diluted, and what the
    LLM adds counts as one more user who bought the same things.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts import FUSED
from llmi2i_cli.histories import Histories

Strategy = Literal["append", "pseudo-user"]
Order = Literal["rank", "confidence"]
STRATEGIES: tuple[Strategy, ...] = ("append", "pseudo-user")
ORDERS: tuple[Order, ...] = ("rank", "confidence")


@dataclass(frozen=True)
class Candidates:
    """Scored candidates of all users, grouped by user, in rank order within a user.

    Attributes
    ----------
    users : int64 (n,), non-decreasing
    items : int32 (n,)
    ranks : int32 (n,), the generator's order, from 1
    confidences : float32 (n,), P(Yes)
    keep : bool (n,), the filter's own mark
    """

    users: NDArray[np.int64]
    items: NDArray[np.int32]
    ranks: NDArray[np.int32]
    confidences: NDArray[np.float32]
    keep: NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """Which candidates are fused, and how.

    A user's candidates are put in `order`, the first `recall_number` of them are taken, and of these the ones with at
    least `min_confidence`; where `min_confidence` is None, the filter's `keep` decides. A pseudo user copies the
    `copied_history` most recent real interactions, all of them where it is None.
    """

    strategy: Strategy
    order: Order
    recall_number: int
    min_confidence: float | None
    copied_history: int | None = None


def select(candidates: Candidates, choice: Choice) -> NDArray[np.int64]:
    """Rows of the chosen candidates, users in order and rank order within a user, int64 (n_chosen,)."""
    n_rows = len(candidates.users)
    if choice.min_confidence is None:
        kept = candidates.keep
    else:
        kept = candidates.confidences >= np.float32(choice.min_confidence)
    if choice.order == "rank":
        return np.flatnonzero(kept & (candidates.ranks <= choice.recall_number))
    by_confidence = np.lexsort((candidates.ranks, -candidates.confidences, candidates.users))
    place = np.empty(n_rows, np.int64)  # of a candidate among its user's, by falling confidence, from 0
    first = np.searchsorted(candidates.users, candidates.users)  # start of each row's user
    place[by_confidence] = np.arange(n_rows) - first[by_confidence]
    return np.flatnonzero(kept & (place < choice.recall_number))


def fuse_histories(
    real: Histories,
    candidates: Candidates,
    chosen: NDArray[np.int64],
    strategy: Strategy,
    copied_history: int | None = None,
) -> Histories:
    """The fused log as arrays: what `fused_table` writes, for models trained while tuning.

    Rows 0 .. n_users - 1 are the real users; under ``pseudo-user`` the pseudo users follow in the same order.
    """
    users, items = candidates.users[chosen], candidates.items[chosen]
    added = np.bincount(users, minlength=real.n_users)
    # Every history goes in as often as the strategy says, then the synthetic rows; a stable sort by user puts them in
    # order.
    real_users = real.user_of_each().astype(np.int64)
    if strategy == "append":
        row_users = np.concatenate([real_users, users])
        row_items = np.concatenate([real.items, items])
        n_rows = real.n_users
    else:
        pseudo_row = np.cumsum(added > 0) - 1 + real.n_users  # row of each user's pseudo user, where there is one
        copied = added[real_users] > 0
        if copied_history is not None:
            to_the_end = real.ptr[real_users + 1] - np.arange(len(real.items))  # 1 = the user's latest
            copied &= to_the_end <= copied_history
        row_users = np.concatenate([real_users, pseudo_row[real_users[copied]], pseudo_row[users]])
        row_items = np.concatenate([real.items, real.items[copied], items])
        n_rows = real.n_users + int((added > 0).sum())
    order = np.argsort(row_users, kind="stable")
    ptr = np.zeros(n_rows + 1, np.int64)
    np.cumsum(np.bincount(row_users, minlength=n_rows), out=ptr[1:])
    weights = None
    if real.weights is not None:
        ones = np.ones(len(row_users) - len(real.items), np.float32)
        weights = np.concatenate([real.weights, ones])[order]
    return Histories(ptr, row_items[order].astype(np.int32), real.n_items, weights)


def pseudo_suffix(user_ids: pl.Series) -> str:
    """What turns a user id into its pseudo user's: a suffix that no real id ends with."""
    suffix = "#llm"
    while user_ids.str.ends_with(suffix).any():
        suffix += "#"
    return suffix


def fused_table(
    real: pl.DataFrame,
    synthetic: pl.DataFrame,
    strategy: Strategy,
    suffix: str,
    copied_history: int | None = None,
) -> pl.DataFrame:
    """The rows of ``fuse/interactions.parquet``.

    Parameters
    ----------
    real : user_id, item_id, timestamp, weight: the train rows, grouped by user, oldest first
    synthetic : user_id, item_id, in rank order within a user; only of users in `real`
    suffix : of pseudo users' ids, see `pseudo_suffix`
    copied_history : most recent interactions that a pseudo user copies; None is all

    A synthetic row's timestamp is its user's last one plus 1, 2, ..., so sorting by time keeps the order.
    """
    last = real.group_by("user_id").agg(pl.col("timestamp").max().alias("last"))
    rows = (
        synthetic.join(last, on="user_id", how="left", maintain_order="left")
        .with_columns(
            timestamp=pl.col("last") + pl.int_range(1, pl.len() + 1).over("user_id"),
            source=pl.lit("synthetic"),
            weight=pl.lit(1.0, pl.Float32),
            origin_user_id=pl.col("user_id"),
        )
        .select(list(FUSED))
    )
    kept = real.with_columns(source=pl.lit("real"), origin_user_id=pl.col("user_id")).select(list(FUSED))
    place = kept.select(pl.col("user_id").unique(maintain_order=True)).with_row_index("place")
    if strategy == "append":
        return _in_user_order([kept, rows], place)
    pseudo_id = (pl.col("user_id") + suffix).alias("user_id")
    copied = kept.join(rows.select("user_id").unique(), on="user_id", how="semi", maintain_order="left")
    if copied_history is not None:
        copied = copied.filter(pl.int_range(pl.len(), 0, -1).over("user_id") <= copied_history)  # 1 = the latest
    copies = copied.with_columns(source=pl.lit("copied"), weight=pl.lit(1.0, pl.Float32))
    pseudo = _in_user_order([copies, rows], place).with_columns(pseudo_id)
    return pl.concat([kept, pseudo])


def _in_user_order(parts: list[pl.DataFrame], place: pl.DataFrame) -> pl.DataFrame:
    """Rows grouped by user as `place` orders them; within a user the parts follow each other."""
    joined = pl.concat(parts).join(place, on="user_id", how="left", maintain_order="left")
    return joined.sort("place", maintain_order=True).drop("place")
