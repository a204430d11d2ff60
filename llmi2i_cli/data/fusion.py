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

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.schemas import FUSED

Strategy = Literal["append", "pseudo-user"]
Order = Literal["rank", "confidence", "random"]
Weight = Literal["one", "confidence"]
STRATEGIES: tuple[Strategy, ...] = ("append", "pseudo-user")
ORDERS: tuple[Order, ...] = ("rank", "confidence", "random")
WEIGHTS: tuple[Weight, ...] = ("one", "confidence")
SEED = 42  # of the random order


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
    """What is fused, and how.

    A user's candidates are put in `order` (the generator's, the discriminator's, or a seeded random one as a control),
    the first `recall_number` of them are taken, and of these the ones with at least `min_confidence`; where
    `min_confidence` is None, the filter's `keep` decides. They weigh 1, or their confidence. A pseudo user copies the
    `copied_history` most recent real interactions, all of them where it is None. The share `drop_real` of the real
    interactions is left out, the least confident first.
    """

    strategy: Strategy
    order: Order
    recall_number: int
    min_confidence: float | None
    copied_history: int | None = None
    weight: Weight = "one"
    drop_real: float = 0.0


def select(candidates: Candidates, choice: Choice) -> NDArray[np.int64]:
    """Rows of the chosen candidates, users in order and rank order within a user, int64 (n_chosen,)."""
    n_rows = len(candidates.users)
    if choice.min_confidence is None:
        kept = candidates.keep
    else:
        kept = candidates.confidences >= np.float32(choice.min_confidence)
    if choice.order == "rank":
        return np.flatnonzero(kept & (candidates.ranks <= choice.recall_number))
    keys = -candidates.confidences if choice.order == "confidence" else np.random.default_rng(SEED).random(n_rows)
    in_order = np.lexsort((candidates.ranks, keys, candidates.users))
    place = np.empty(n_rows, np.int64)  # of a candidate among its user's, from 0
    first = np.searchsorted(candidates.users, candidates.users)  # start of each row's user
    place[in_order] = np.arange(n_rows) - first[in_order]
    return np.flatnonzero(kept & (place < choice.recall_number))


def weights_of(candidates: Candidates, chosen: NDArray[np.int64], rule: Weight) -> NDArray[np.float32]:
    """How much each chosen candidate counts, float32 (n_chosen,)."""
    return candidates.confidences[chosen] if rule == "confidence" else np.ones(len(chosen), np.float32)


def without_noise(real: pl.DataFrame, drop_real: float) -> pl.DataFrame:
    """The rows of `real` that `Choice.drop_real` leaves, in their order.

    Parameters
    ----------
    real : user_id, confidence and other columns: the judged train rows. Of equal confidences the first row goes
        first; a user's only interaction stays, for nothing is known that could speak against it
    """
    doubted = real.with_row_index("row").filter(pl.len().over("user_id") > 1)
    dropped = doubted.sort("confidence", maintain_order=True).head(round(drop_real * len(real)))["row"]
    return real.filter(~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(dropped.implode()))


def fuse_histories(real: Histories, candidates: Candidates, chosen: NDArray[np.int64], choice: Choice) -> Histories:
    """The fused log as arrays: what `fused_table` writes, for models trained while tuning.

    Rows 0 .. n_users - 1 are the real users; under ``pseudo-user`` the pseudo users follow in the same order.
    """
    users, items = candidates.users[chosen], candidates.items[chosen]
    added = np.bincount(users, minlength=real.n_users)
    # Every history goes in as often as the strategy says, then the synthetic rows; a stable sort by user puts them in
    # order.
    real_users = real.user_of_each().astype(np.int64)
    if choice.strategy == "append":
        row_users = np.concatenate([real_users, users])
        row_items = np.concatenate([real.items, items])
        n_rows = real.n_users
    else:
        pseudo_row = np.cumsum(added > 0) - 1 + real.n_users  # row of each user's pseudo user, where there is one
        copied = added[real_users] > 0
        if choice.copied_history is not None:
            to_the_end = real.ptr[real_users + 1] - np.arange(len(real.items))  # 1 = the user's latest
            copied &= to_the_end <= choice.copied_history
        row_users = np.concatenate([real_users, pseudo_row[real_users[copied]], pseudo_row[users]])
        row_items = np.concatenate([real.items, real.items[copied], items])
        n_rows = real.n_users + int((added > 0).sum())
    row_weights = np.ones(len(row_users), np.float32)
    row_weights[len(row_users) - len(chosen) :] = weights_of(candidates, chosen, choice.weight)
    order = np.argsort(row_users, kind="stable")
    ptr = np.zeros(n_rows + 1, np.int64)
    np.cumsum(np.bincount(row_users, minlength=n_rows), out=ptr[1:])
    return Histories(ptr, row_items[order].astype(np.int32), real.n_items, row_weights[order])


def pseudo_suffix(user_ids: pl.Series) -> str:
    """What turns a user id into its pseudo user's: a suffix that no real id ends with."""
    suffix = "#llm"
    while user_ids.str.ends_with(suffix).any():
        suffix += "#"
    return suffix


def fused_table(real: pl.DataFrame, synthetic: pl.DataFrame, choice: Choice, suffix: str) -> pl.DataFrame:
    """The rows of ``fuse/interactions.parquet``.

    Parameters
    ----------
    real : user_id, item_id, timestamp: the train rows, grouped by user, oldest first
    synthetic : user_id, item_id, weight, in rank order within a user; only of users in `real`
    choice : its strategy and copied history; the rows have been chosen
    suffix : of pseudo users' ids, see `pseudo_suffix`

    All but synthetic rows weigh 1. A synthetic row's timestamp is its user's last one plus 1, 2, ..., so sorting by
    time keeps the order.
    """
    last = real.group_by("user_id").agg(pl.col("timestamp").max().alias("last"))
    rows = (
        synthetic.join(last, on="user_id", how="left", maintain_order="left")
        .with_columns(
            timestamp=pl.col("last") + pl.int_range(1, pl.len() + 1).over("user_id"),
            source=pl.lit("synthetic"),
            origin_user_id=pl.col("user_id"),
        )
        .select(list(FUSED))
    )
    one = pl.lit(1.0, pl.Float32)
    kept = real.with_columns(source=pl.lit("real"), weight=one, origin_user_id=pl.col("user_id")).select(list(FUSED))
    place = kept.select(pl.col("user_id").unique(maintain_order=True)).with_row_index("place")
    if choice.strategy == "append":
        return _in_user_order([kept, rows], place)
    pseudo_id = (pl.col("user_id") + suffix).alias("user_id")
    copied = kept.join(rows.select("user_id").unique(), on="user_id", how="semi", maintain_order="left")
    if choice.copied_history is not None:
        to_the_end = pl.int_range(pl.len(), 0, -1).over("user_id")  # 1 = the user's latest
        copied = copied.filter(to_the_end <= choice.copied_history)
    pseudo = _in_user_order([copied.with_columns(source=pl.lit("copied")), rows], place).with_columns(pseudo_id)
    return pl.concat([kept, pseudo])


def _in_user_order(parts: list[pl.DataFrame], place: pl.DataFrame) -> pl.DataFrame:
    """Rows grouped by user as `place` orders them; within a user the parts follow each other."""
    joined = pl.concat(parts).join(place, on="user_id", how="left", maintain_order="left")
    return joined.sort("place", maintain_order=True).drop("place")
