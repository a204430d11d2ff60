"""The clicks of simulated users on a simulated catalogue.

The behaviour is fixed; it was chosen for plausibility and before anything was measured on it:

- The activity of users is log-normal (sigma 1) on top of the three interactions that everybody has.
- A user has three interests, clusters of the catalogue that are drawn by popularity, wanted with probabilities 0.5, 0.3
  and 0.2. After each interaction, with probability 0.05, one of them drifts: half of the time to the same style
  in a complement of its category, else to any cluster.
- Each interaction is noise with probability `noise` (any item, by popularity); else with probability 0.3 a sequel of
  one of the last three items that were no noise (0.6, 0.3, 0.1); else an item of an interest, by popularity.
- An item among the user's last twenty is drawn again, sequel or not, up to three times: repeats are possible, but rare.
- A user arrives in the first 90% of 180 days and stays until the end. Six of ten gaps between interactions are short
  (two minutes on average), the others long.

Every user has a random stream of their own, from the seed and the user's number, so the log depends neither on the
blocks in which it is made nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numba import prange
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled
from llmi2i_cli.data.simulated_catalogue import COMPLEMENTS, STYLES_PER_CATEGORY, SimulatedCatalogue

FEWEST_PER_USER = 3
ACTIVITY_SIGMA = 1.0
N_INTERESTS = 3
SHARES = np.cumsum([0.5, 0.3, 0.2])  # of interests, and of sequels
DRIFT = 0.05
DRIFT_TO_COMPLEMENT = 0.5
SEQUEL = 0.3
RECENT_SHARES = np.cumsum([0.6, 0.3, 0.1])
NOT_REPEATED = 20
REDRAWS = 3
START_MS = 1_735_689_600_000  # 2025-01-01
DURATION_MS = 180 * 86_400_000
LATEST_ARRIVAL = 0.9
SHORT_GAPS = 0.6
SHORT_GAP_MS = 120_000

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
    noise : share of interactions that have nothing to do with the user
    """
    offsets = starts[first : end + 1] - starts[first]
    places = np.empty(offsets[-1], np.int32)
    times = np.empty(offsets[-1], np.int64)
    _simulate(
        first,
        offsets,
        np.uint64(seed),
        noise,
        catalogue.cumulative,
        catalogue.cluster_of,
        catalogue.cluster_start,
        catalogue.complements,
        catalogue.sequels,
        places,
        times,
    )
    users = pl.select(pl.format("u{}", pl.int_range(first + 1, end + 1))).to_series()
    return pl.DataFrame(
        {
            "user_id": users.gather(np.repeat(np.arange(end - first), np.diff(offsets))),
            "item_id": ids.gather(catalogue.item_at[places]),
            "timestamp": times,
        }
    )


# --- compiled ---------------------------------------------------------------------------------------------------------


@compiled(inline="always")
def _mix(value: Any) -> Any:
    """The output function of SplitMix64 (Steele, Lea and Flood, 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled(inline="always")
def _random(state: Any) -> float:
    """The next number in [0, 1) of a stream; `state` is uint64 (1,)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    return (_mix(state[0]) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled(inline="always")
def _pick(state: Any, shares: Any) -> int:
    """An index by its cumulative share."""
    number = _random(state)
    index = 0
    while index < len(shares) - 1 and number >= shares[index]:
        index += 1
    return index


@compiled()
def _draw(state: Any, cumulative: Any, low: int, high: int) -> int:
    """A place in ``low .. high - 1`` by popularity."""
    weight = cumulative[low] + _random(state) * (cumulative[high] - cumulative[low])
    high -= 1
    while low < high:
        middle = (low + high + 1) // 2
        if cumulative[middle] <= weight:
            low = middle
        else:
            high = middle - 1
    return low


@compiled()
def _drift(state: Any, interest: int, cumulative: Any, cluster_of: Any, cluster_start: Any, complements: Any) -> int:
    """Where an interest moves: to its style in a complement of its category, or anywhere."""
    if _random(state) < DRIFT_TO_COMPLEMENT:
        column = int(_random(state) * COMPLEMENTS)
        near = complements[interest // STYLES_PER_CATEGORY, column] * STYLES_PER_CATEGORY
        near += interest % STYLES_PER_CATEGORY
        if cluster_start[near] < cluster_start[near + 1]:
            return near
    return cluster_of[_draw(state, cumulative, 0, len(cluster_of))]


@compiled()
def _fill_times(state: Any, times: Any) -> None:
    """Increasing times of one user, from the arrival to the end of the period."""
    n = len(times)
    arrival = _random(state) * LATEST_ARRIVAL * DURATION_MS
    gaps = np.empty(n + 1)  # the last one reaches to the end of the period
    short = 0.0
    long = 0.0
    for i in range(n + 1):
        gap = -np.log(1.0 - _random(state))
        if 0 < i < n and _random(state) < SHORT_GAPS:
            gaps[i] = -(1000.0 + gap * SHORT_GAP_MS)  # negative: not stretched
            short -= gaps[i]
        else:
            gaps[i] = gap
            long += gap
    stretch = max(0.0, DURATION_MS - arrival - short - 1000.0 * n) / long
    now = arrival
    for i in range(n):
        now += -gaps[i] if gaps[i] < 0 else 1.0 + gaps[i] * stretch
        times[i] = START_MS + min(int(now), DURATION_MS - n + i)


@compiled(parallel=True)
def _simulate(
    first: int,
    offsets: Any,
    seed: Any,
    noise: float,
    cumulative: Any,
    cluster_of: Any,
    cluster_start: Any,
    complements: Any,
    sequels: Any,
    places: Any,
    times: Any,
) -> None:
    """Fill `places` and `times`, (n_interactions,), for the users that own the ranges between `offsets`."""
    n_items = len(cluster_of)
    for user in prange(len(offsets) - 1):
        state = np.empty(1, np.uint64)
        state[0] = _mix(_mix(seed + np.uint64(1)) ^ np.uint64(first + user + 1))
        start, end = offsets[user], offsets[user + 1]
        interests = np.empty(N_INTERESTS, np.int64)
        for i in range(N_INTERESTS):
            interests[i] = cluster_of[_draw(state, cumulative, 0, n_items)]
        recent = np.full(len(RECENT_SHARES), -1, np.int64)  # places of the last items that were no noise
        for t in range(start, end):
            is_noise = _random(state) < noise
            place = -1
            for _ in range(1 + REDRAWS):
                if is_noise:
                    place = _draw(state, cumulative, 0, n_items)
                elif recent[0] >= 0 and _random(state) < SEQUEL:
                    before = recent[_pick(state, RECENT_SHARES)]
                    place = sequels[before if before >= 0 else recent[0], _pick(state, SHARES)]
                else:
                    interest = interests[_pick(state, SHARES)]
                    place = _draw(state, cumulative, cluster_start[interest], cluster_start[interest + 1])
                if not _contains(places, max(start, t - NOT_REPEATED), t, place):
                    break
            places[t] = place
            if not is_noise:
                for i in range(len(recent) - 1, 0, -1):
                    recent[i] = recent[i - 1]
                recent[0] = place
            if _random(state) < DRIFT:
                moved = int(_random(state) * N_INTERESTS)
                interests[moved] = _drift(state, interests[moved], cumulative, cluster_of, cluster_start, complements)
        _fill_times(state, times[start:end])


@compiled(inline="always")
def _contains(places: Any, start: int, end: int, place: int) -> bool:
    for i in range(start, end):  # noqa: SIM110, Numba has no any() of a generator
        if places[i] == place:
            return True
    return False
