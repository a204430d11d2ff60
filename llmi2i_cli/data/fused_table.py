"""The fused log as the rows of ``fuse/interactions.parquet``, made from its plan some users at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.schemas import FUSED
from llmi2i_cli.data.fusion import SOURCES, Group, Plan

ROWS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Synthetic:
    """Chosen candidates, by user, as arrays of one length.

    Attributes
    ----------
    items : int32 (n,), rows of ``prepare/``
    times : int64 (n,)
    weights : float32 (n,)
    """

    items: NDArray[np.int32]
    times: NDArray[np.int64]
    weights: NDArray[np.float32]


def synthetic_times(real: Histories, times: NDArray[np.int64], users: NDArray[np.int64]) -> NDArray[np.int64]:
    """When chosen candidates happen: the k-th of a user k after the user's latest interaction, so that sorting by time
    keeps the order.

    Parameters
    ----------
    times : int64 (n_interactions,), of the real log
    users : int64 (n,), the user of each candidate, non-decreasing; each has an interaction
    """
    some = np.flatnonzero(real.lengths)
    latest = np.empty(real.n_users, np.int64)
    latest[some] = np.maximum.reduceat(times, real.ptr[some]) if len(some) else times
    return latest[users] + 1 + np.arange(len(users)) - np.searchsorted(users, users)


def fused_rows(
    plan: Plan,
    real: Histories,
    times: NDArray[np.int64],
    synthetic: Synthetic,
    *,
    user_ids: pl.Series,
    item_ids: pl.Series,
    suffix: str,
) -> Iterator[pl.DataFrame]:
    """The rows of the plan in the columns of `FUSED`, some users at a time.

    Parameters
    ----------
    times : int64 (n_interactions,), of the real log
    user_ids, item_ids : String, of ``prepare/``
    suffix : of the ids of users that the real log does not have, see `pseudo_suffix`
    """
    weights = real.weight_of_each()
    for number, group in enumerate(plan):
        for some in _blocks(group):
            rows = some.rows()
            origin_ids = user_ids.gather(np.repeat(some.origins, some.lengths()))
            columns = {
                "user_id": origin_ids + suffix if number else origin_ids,
                "item_id": item_ids.gather(rows.pick(real.items, synthetic.items)),
                "timestamp": rows.pick(times, synthetic.times),
                "source": pl.Series(SOURCES).gather(rows.sources),
                "weight": rows.pick(weights, synthetic.weights),
                "origin_user_id": origin_ids,
            }
            yield pl.DataFrame(columns, schema=dict(FUSED))


def _blocks(group: Group) -> Iterator[Group]:
    """The users in parts of about `ROWS_AT_ONCE` rows."""
    block_of_each = (np.cumsum(group.lengths()) - 1) // ROWS_AT_ONCE
    bounds = [*np.flatnonzero(np.diff(block_of_each, prepend=-1)).tolist(), len(block_of_each)]
    for first, end in pairwise(bounds):
        yield group.users(first, end)


def pseudo_suffix(user_ids: pl.Series) -> str:
    """What turns a user id into its pseudo user's: a suffix that no real id ends with."""
    suffix = "#llm"
    while user_ids.str.ends_with(suffix).any():
        suffix += "#"
    return suffix
