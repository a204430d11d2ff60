"""The catalogue of a simulated shop: what is sold from when on, how popular it is, and what goes with what.

Each mechanism is one that real shops have. How strong it is was chosen so that the default shop resembles three real
logs in figures of log and titles alone (`examples/paper/shop_statistics.py` prints them side by side), before any
language model had seen it:

- Categories (about the square root of the number of items, at most 1,536) differ in size, category k of them as
  ``1 / sqrt(k)``. A category has five styles; items of one category and style (a *cluster*) replace each other.
- An item is as popular as its cluster (log-normal) times a factor of its own, from a power law (Pareto, exponent 2.5):
  most items of a cluster are bought alike, a few are bestsellers.
- Three items in ten come new during the period of the log; a cluster's first item is always there.
- A category has two complements, and eight brands of which each style has a usual one.
- An item has three *sequels*, which users take next: of the same brand in its cluster, a *series*, the item that came
  after it; and accessories, drawn by popularity from its own style in a complement, or from all of the complement when
  that cluster is empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

MOST_CATEGORIES = 1536
STYLES_PER_CATEGORY = 5
BRANDS_PER_CATEGORY = 8
USUAL_BRAND = 0.5  # how often an item is of its style's usual brand; and if not, of the next one, and so on
COMPLEMENTS = 2
SEQUELS = 3
NEW_ITEMS = 0.3
CLUSTER_SIGMA = 0.65
ITEM_SCALE = 0.4  # 1 / exponent of the power law


@dataclass(frozen=True)
class SimulatedCatalogue:
    """Items of a simulated shop. Items are numbered at random; *places* order them by category, style and release.

    Attributes
    ----------
    item_at : int32 (n_items,), the item at each place
    place_of : int32 (n_items,), the inverse
    cumulative : float64 (n_items + 1,), popularity weights summed over the places before
    released : float64 (n_items,), when the item at each place came, as a share of the log's period; 0 is before it
    cluster_of : int32 (n_items,), the cluster, ``category * STYLES_PER_CATEGORY + style``, at each place
    cluster_start : int32 (n_clusters + 1,), the first place of each cluster
    series_of : int32 (n_items,), the series, ``cluster * BRANDS_PER_CATEGORY + brand``, at each place
    complements : int32 (n_categories, COMPLEMENTS), categories that go with each
    sequels : int32 (n_items, SEQUELS), the places of the sequels of the item at each place
    """

    item_at: NDArray[np.int32]
    place_of: NDArray[np.int32]
    cumulative: NDArray[np.float64]
    released: NDArray[np.float64]
    cluster_of: NDArray[np.int32]
    cluster_start: NDArray[np.int32]
    series_of: NDArray[np.int32]
    complements: NDArray[np.int32]
    sequels: NDArray[np.int32]

    @property
    def n_items(self) -> int:
        return len(self.item_at)

    @property
    def n_categories(self) -> int:
        return len(self.complements)


def simulate_catalogue(n_items: int, seed: int) -> SimulatedCatalogue:
    """Draw a catalogue; the same arguments give the same one."""
    rng = np.random.default_rng([seed, 0])
    n_categories = int(np.clip(round(n_items**0.5), 4, MOST_CATEGORIES))
    n_clusters = n_categories * STYLES_PER_CATEGORY
    sizes = 1 / np.sqrt(np.arange(1, n_categories + 1))
    category = rng.choice(n_categories, n_items, p=sizes / sizes.sum())
    cluster = (category * STYLES_PER_CATEGORY + rng.integers(STYLES_PER_CATEGORY, size=n_items)).astype(np.int32)
    released = np.where(rng.random(n_items) < NEW_ITEMS, rng.random(n_items), 0.0)
    item_at = np.lexsort([released, cluster]).astype(np.int32)
    place_of = np.empty_like(item_at)
    place_of[item_at] = np.arange(n_items, dtype=np.int32)
    released, cluster_of = released[item_at], cluster[item_at]
    cluster_start = np.searchsorted(cluster_of, np.arange(n_clusters + 1)).astype(np.int32)
    released[cluster_start[cluster_of]] = 0.0
    log_weights = rng.normal(scale=CLUSTER_SIGMA, size=n_clusters)[cluster_of]
    log_weights += rng.exponential(scale=ITEM_SCALE, size=n_items)
    cumulative = np.concatenate([[0.0], np.cumsum(np.exp(log_weights))])
    brand = (cluster_of % STYLES_PER_CATEGORY + rng.geometric(USUAL_BRAND, n_items) - 1) % BRANDS_PER_CATEGORY
    series_of = (cluster_of * BRANDS_PER_CATEGORY + brand).astype(np.int32)
    steps = choose(rng, n_categories, n_categories - 1, COMPLEMENTS) + 1
    complements = ((np.arange(n_categories)[:, None] + steps) % n_categories).astype(np.int32)
    sequels = _draw_accessories(rng, cluster_of, cluster_start, cumulative, complements)
    _continue_series(sequels, series_of)
    return SimulatedCatalogue(
        item_at=item_at,
        place_of=place_of,
        cumulative=cumulative,
        released=released,
        cluster_of=cluster_of,
        cluster_start=cluster_start,
        series_of=series_of,
        complements=complements,
        sequels=sequels,
    )


def item_ids(n_items: int) -> pl.Series:
    """Ids of all items: i1, i2, ..."""
    return pl.select(item_id=pl.format("i{}", pl.int_range(1, n_items + 1))).to_series()


def choose(rng: np.random.Generator, rows: int, n: int, k: int) -> NDArray[np.int32]:
    """`k` different numbers below `n` in each of `rows` rows: (rows, k)."""
    return np.argsort(rng.random((rows, n)), axis=1)[:, :k].astype(np.int32)


def _draw_accessories(
    rng: np.random.Generator,
    cluster_of: NDArray[np.int32],
    cluster_start: NDArray[np.int32],
    cumulative: NDArray[np.float64],
    complements: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Places in complements for each place, (n_items, SEQUELS); the place itself if a complement has no item at all."""
    category, style = np.divmod(cluster_of, STYLES_PER_CATEGORY)
    accessories = np.empty((len(cluster_of), SEQUELS), np.int32)
    for column in range(SEQUELS):
        complement = complements[category, rng.integers(COMPLEMENTS, size=len(category))]
        cluster = complement * STYLES_PER_CATEGORY + style
        low, high = cluster_start[cluster], cluster_start[cluster + 1]
        empty = low == high
        low = np.where(empty, cluster_start[complement * STYLES_PER_CATEGORY], low)
        high = np.where(empty, cluster_start[(complement + 1) * STYLES_PER_CATEGORY], high)
        weight = cumulative[low] + rng.random(len(low)) * (cumulative[high] - cumulative[low])
        drawn = np.clip(np.searchsorted(cumulative, weight, side="right") - 1, low, np.maximum(low, high - 1))
        accessories[:, column] = np.where(low == high, np.arange(len(low)), drawn)
    return accessories


def _continue_series(sequels: NDArray[np.int32], series_of: NDArray[np.int32]) -> None:
    """Where a series goes on, the next place of it takes the first column of `sequels`."""
    order = np.argsort(series_of, kind="stable").astype(np.int32)
    goes_on = series_of[order[:-1]] == series_of[order[1:]]
    sequels[order[:-1][goes_on], 0] = order[1:][goes_on]
