"""The log of a simulated shop as tables, some users at a time: how active users are, and what `simulated_user` does.

The activity of users is log-normal (sigma 1.1) on top of the four interactions that everybody has.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.data.simulated_catalogue import SimulatedCatalogue
from llmi2i_cli.data.simulated_user import Shelves, fill_users

FEWEST_PER_USER = 4
ACTIVITY_SIGMA = 1.1

BLOCK_INTERACTIONS = 4_000_000


def activity(n_users: int, n_interactions: int, seed: int) -> NDArray[np.int64]:
    """Where each user's interactions start in the log, int64 (n_users + 1,); the last entry is `n_interactions`."""
    least = min(FEWEST_PER_USER, n_interactions // n_users)
    weights = np.random.default_rng([seed, 2]).lognormal(sigma=ACTIVITY_SIGMA, size=n_users)
    shares = np.concatenate([[0.0], np.cumsum(weights)])
    extra = np.floor(shares / shares[-1] * (n_interactions - least * n_users) + 0.5).astype(np.int64)
    return extra + least * np.arange(n_users + 1)


def blocks_of_users(n_users: int, n_interactions: int) -> Iterator[tuple[int, int]]:
    """Cut the users into ranges (first, end) of about `BLOCK_INTERACTIONS` interactions."""
    n_blocks = max(1, -(-n_interactions // BLOCK_INTERACTIONS))
    size = -(-n_users // n_blocks)
    for first in range(0, n_users, size):
        yield first, min(first + size, n_users)


def simulate_block(
    catalogue: SimulatedCatalogue,
    ids: pl.Series,
    starts: NDArray[np.int64],
    first: int,
    end: int,
    *,
    noise: float,
    seed: int,
) -> pl.DataFrame:
    """The interactions of users `first` to `end`: user_id, item_id (String), timestamp (Int64, ms); oldest first.

    Parameters
    ----------
    ids : String (n_items,), the id of each item
    starts : int64 (n_users + 1,), from `activity`
    noise : share of interactions that have nothing to do with the user, but with the front page
    """
    offsets = starts[first : end + 1] - starts[first]
    places = np.empty(offsets[-1], np.int32)
    times = np.empty(offsets[-1], np.int64)
    fill_users(first, offsets, np.uint64(seed), noise, Shelves.of(catalogue), places, times)
    users = pl.select(pl.format("u{}", pl.int_range(first + 1, end + 1))).to_series()
    return pl.DataFrame(
        {
            "user_id": users.gather(np.repeat(np.arange(end - first), np.diff(offsets))),
            "item_id": ids.gather(catalogue.item_at[places]),
            "timestamp": times,
        }
    )
