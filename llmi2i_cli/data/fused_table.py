"""The fused log as the rows of ``fuse/interactions.parquet``, made from its plan some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.schemas import FUSED
from llmi2i_cli.data.fusion import SOURCES, Plan

ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Interactions:
    """Interactions by users, as arrays of one length.

    Attributes
    ----------
    users, items : int64 and int32 (n,), rows of ``prepare/``
    times : int64 (n,)
    weights : float32 (n,)
    """

    users: NDArray[np.int64]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    weights: NDArray[np.float32]


def real_interactions(real: Histories, times: NDArray[np.int64]) -> Interactions:
    """The real log, whose interactions weigh 1."""
    return Interactions(real.user_of_each().astype(np.int64), real.items, times, np.ones(len(times), np.float32))


def synthetic_interactions(
    real: Interactions, users: NDArray[np.int64], items: NDArray[np.int32], weights: NDArray[np.float32]
) -> Interactions:
    """Chosen candidates, grouped by user: the k-th of a user is k after the user's latest interaction.

    So sorting by time keeps the order.
    """
    latest = np.full(int(max(real.users.max(initial=-1), users.max(initial=-1))) + 1, np.iinfo(np.int64).min)
    np.maximum.at(latest, real.users, real.times)
    place = np.arange(len(users)) - np.searchsorted(users, users)
    return Interactions(users, items, latest[users] + 1 + place, weights)


def fused_rows(
    plan: Plan,
    real: Interactions,
    synthetic: Interactions,
    *,
    user_ids: pl.Series,
    item_ids: pl.Series,
    suffix: str,
) -> Iterator[pl.DataFrame]:
    """The rows of the plan in the columns of `FUSED`, some at a time.

    Parameters
    ----------
    user_ids, item_ids : String, of ``prepare/``
    suffix : of the ids of users that the real log does not have, see `pseudo_suffix`
    """
    for first in range(0, len(plan.rows), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        users = plan.users[part]
        origin_ids = user_ids.gather(plan.origins[users])
        is_second = pl.Series(users >= len(user_ids))
        columns = {
            "user_id": pl.select(pl.when(is_second).then(origin_ids + suffix).otherwise(origin_ids)).to_series(),
            "item_id": item_ids.gather(plan.pick(real.items, synthetic.items, part)),
            "timestamp": plan.pick(real.times, synthetic.times, part),
            "source": pl.Series(SOURCES).gather(plan.sources[part]),
            "weight": plan.pick(real.weights, synthetic.weights, part),
            "origin_user_id": origin_ids,
        }
        yield pl.DataFrame(columns, schema=dict(FUSED))


def pseudo_suffix(user_ids: pl.Series) -> str:
    """What turns a user id into its pseudo user's: a suffix that no real id ends with."""
    suffix = "#llm"
    while user_ids.str.ends_with(suffix).any():
        suffix += "#"
    return suffix
