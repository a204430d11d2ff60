"""What one simulated user buys, and when: compiled, because logs have up to billions of interactions.

How strong each effect is was chosen as for the catalogue, see `simulated_catalogue`:

- A user arrives in the first 90% of 180 days and stays until the end. 45% of the gaps between interactions are short
  (two minutes on average), the others long; a gap of more than an hour begins a new session.
- A user has taste for three clusters, the *interests*: the first is drawn by popularity, the others lie near the one
  before, that is, half of the time in the same style of a complement of its category, else anywhere. A session is
  about one of them (probabilities 0.5, 0.3 and 0.2), which with probability 0.6 has moved to a cluster near it before.
- An interaction is with probability 0.04 one of the user's last twenty items, bought again. Else it is noise with
  probability `noise`: what the front page shows to everybody, the most popular of three items drawn by popularity.
  Else it is with probability 0.2 a sequel of one of the last three items that were no noise; else an item of the
  session's interest, by popularity.
- Only what is on sale already is bought. What is among the user's last twenty items is drawn again, up to three times.

Every user has a random stream of their own, from the seed and the user's number, so the log depends neither on the
blocks in which it is made nor on the number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from llmi2i_cli.compiled import compiled
from llmi2i_cli.data.simulated_catalogue import COMPLEMENTS, STYLES_PER_CATEGORY, SimulatedCatalogue

INTEREST_SHARES = np.cumsum([0.5, 0.3, 0.2])
DRIFT = 0.6
DRIFT_TO_COMPLEMENT = 0.5
REBUY = 0.04
SEQUEL = 0.2
SEQUEL_SHARES = np.cumsum([0.5, 0.3, 0.2])
RECENT_SHARES = np.cumsum([0.6, 0.3, 0.1])
FRONT_PAGE = 3  # items, of which the most popular one is bought
REMEMBERED = 20
REDRAWS = 3
START_MS = 1_735_689_600_000  # 2025-01-01
DURATION_MS = 180 * 86_400_000
LATEST_ARRIVAL = 0.9
SHORT_GAPS = 0.45
SHORT_GAP_MS = 120_000
SESSION_GAP_MS = 3_600_000


class Shelves(NamedTuple):
    """What users see of the catalogue, arrays as in `SimulatedCatalogue`."""

    cumulative: Any
    released: Any
    cluster_of: Any
    cluster_start: Any
    complements: Any
    sequels: Any

    @classmethod
    def of(cls, catalogue: SimulatedCatalogue) -> Shelves:
        return cls(*(getattr(catalogue, name) for name in cls._fields))


@compiled(parallel=True)
def fill_users(first: int, offsets: Any, seed: Any, noise: float, shelves: Shelves, places: Any, times: Any) -> None:
    """Fill what users `first`, `first` + 1, ... buy, each in the range of the outputs that `offsets` gives them.

    Parameters
    ----------
    offsets : int64 (n_users + 1,)
    seed : uint64
    places, times : int32 and int64 (n_interactions,), filled: places in the catalogue and times in ms
    """
    for user in prange(len(offsets) - 1):
        state = np.empty(1, np.uint64)
        state[0] = _mix(_mix(seed + np.uint64(1)) ^ np.uint64(first + user + 1))
        start, end = offsets[user], offsets[user + 1]
        _fill_times(state, times[start:end])
        _fill_places(state, shelves, noise, times[start:end], places[start:end])


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


@compiled()
def _fill_places(state: Any, shelves: Shelves, noise: float, times: Any, places: Any) -> None:
    """The items of one user at `times`, as places."""
    interests = np.empty(len(INTEREST_SHARES), np.int64)
    interests[0] = shelves.cluster_of[_draw(state, shelves.cumulative, 0, len(shelves.cluster_of))]
    for i in range(1, len(interests)):
        interests[i] = _near(state, shelves, interests[i - 1])
    topic = 0
    recent = np.full(len(RECENT_SHARES), -1, np.int64)  # places of the last items that were no noise
    for t in range(len(times)):
        now = (times[t] - START_MS) / DURATION_MS
        if t == 0 or times[t] - times[t - 1] > SESSION_GAP_MS:
            topic = _pick(state, INTEREST_SHARES)
            if _random(state) < DRIFT:
                interests[topic] = _near(state, shelves, interests[topic])
        remembered = places[max(0, t - REMEMBERED) : t]
        if t > 0 and _random(state) < REBUY:
            places[t] = remembered[int(_random(state) * len(remembered))]
            continue
        is_noise = _random(state) < noise
        for _ in range(1 + REDRAWS):
            if is_noise:
                places[t] = _front_page(state, shelves, now)
            else:
                places[t] = _wanted(state, shelves, interests[topic], recent, now)
            if not _contains(remembered, places[t]):
                break
        if not is_noise:
            recent[1:] = recent[:-1].copy()
            recent[0] = places[t]


@compiled()
def _near(state: Any, shelves: Shelves, interest: int) -> int:
    """A cluster to move to from another: its style in a complement of its category, or anywhere."""
    if _random(state) < DRIFT_TO_COMPLEMENT:
        column = int(_random(state) * COMPLEMENTS)
        near = shelves.complements[interest // STYLES_PER_CATEGORY, column] * STYLES_PER_CATEGORY
        near += interest % STYLES_PER_CATEGORY
        if shelves.cluster_start[near] < shelves.cluster_start[near + 1]:
            return near
    return shelves.cluster_of[_draw(state, shelves.cumulative, 0, len(shelves.cluster_of))]


@compiled()
def _wanted(state: Any, shelves: Shelves, interest: int, recent: Any, now: float) -> int:
    """What a user takes who looks for something: a sequel of one of `recent` (-1: none), or an item of `interest`."""
    if recent[0] >= 0 and _random(state) < SEQUEL:
        before = recent[_pick(state, RECENT_SHARES)]
        place = shelves.sequels[before if before >= 0 else recent[0], _pick(state, SEQUEL_SHARES)]
        if shelves.released[place] <= now:
            return place
    return _of_cluster(state, shelves, interest, now)


@compiled()
def _front_page(state: Any, shelves: Shelves, now: float) -> int:
    """The most popular of some items drawn by popularity; instead of one not on sale yet, one of its cluster."""
    best, most = 0, -1.0
    for _ in range(FRONT_PAGE):
        place = _draw(state, shelves.cumulative, 0, len(shelves.cluster_of))
        weight = shelves.cumulative[place + 1] - shelves.cumulative[place]
        if weight > most:
            best, most = place, weight
    return best if shelves.released[best] <= now else _of_cluster(state, shelves, shelves.cluster_of[best], now)


@compiled()
def _of_cluster(state: Any, shelves: Shelves, cluster: int, now: float) -> int:
    """An item of a cluster by popularity, of those that are on sale: its first places, one at least."""
    low, high = shelves.cluster_start[cluster], shelves.cluster_start[cluster + 1]
    n_on_sale = np.searchsorted(shelves.released[low:high], now, side="right")
    return _draw(state, shelves.cumulative, low, low + n_on_sale)


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


@compiled(inline="always")
def _pick(state: Any, shares: Any) -> int:
    """An index by its cumulative share."""
    number = _random(state)
    index = 0
    while index < len(shares) - 1 and number >= shares[index]:
        index += 1
    return index


@compiled(inline="always")
def _random(state: Any) -> float:
    """The next number in [0, 1) of a stream; `state` is uint64 (1,)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    return (_mix(state[0]) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled(inline="always")
def _mix(value: Any) -> Any:
    """The output function of SplitMix64 (Steele, Lea and Flood, 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled(inline="always")
def _contains(places: Any, place: int) -> bool:
    for other in places:  # noqa: SIM110, Numba has no any() of a generator
        if other == place:
            return True
    return False
