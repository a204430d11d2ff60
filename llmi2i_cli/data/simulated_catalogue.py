"""The catalogue of a simulated shop: who sells what, how popular it is, and what goes with what.

The structure is fixed; it was chosen for plausibility and before anything was measured on it:

- Categories (about the square root of the number of items, at most 1,536) differ in size, category k of them as
  ``1 / sqrt(k)``. A category has six styles; items of one category and style (a *cluster*) replace each other.
- Popularity is Zipf-Mandelbrot: the weight of the item of rank r (a random permutation) is
  ``(r + 20) ** -1.2``; with 10 to 20 interactions an item, most items have five or fewer.
- A category has two complements. An item has three sequels (accessories and refills, followed with probabilities 0.5,
  0.3 and 0.2): each is drawn by popularity from its own style in a complement, or from all of the complement when
  that cluster is empty.
- A category has eight brands, which other categories may share; an item has one.
- The title is brand, style, colour and product. One title in five does not tell the style, and colours mean nothing;
  half of the descriptions name a complement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

MOST_CATEGORIES = 1536
STYLES_PER_CATEGORY = 6
BRANDS_PER_CATEGORY = 8
COMPLEMENTS = 2
SEQUEL_SHARES = (0.5, 0.3, 0.2)
ZIPF_SHIFT = 20
ZIPF_EXPONENT = 1.2
TITLES_WITH_STYLE = 0.8
DESCRIPTIONS_WITH_COMPLEMENT = 0.5
ITEMS_PER_FRAME = 500_000

_PRODUCTS = """
Shampoo Conditioner Serum Lipstick Perfume Sunscreen Razor Hairbrush Mascara Soap Teapot Kettle Mug Skillet Toaster
Blender Knife Apron Cutlery Whisk Lamp Rug Cushion Curtain Vase Mirror Clock Candle Blanket Shelf Notebook Pen
Stapler Binder Printer Ink Envelope Calendar Eraser Folder Puzzle Kite Doll Robot Puppet Dominoes Yo-Yo Blocks
Marbles Scooter Tent Lantern Backpack Compass Canteen Hammock Stove Rope Binoculars Boots Jacket Scarf Gloves Belt
Hat Socks Sweater Jeans Sandals Raincoat Headphones Charger Keyboard Mouse Webcam Speaker Router Tripod Microphone
Monitor Leash Aquarium Birdcage Collar Kennel Hammer Drill Saw Wrench Pliers Ladder Guitar Drum Violin Flute Ukulele
Spade Hose Trellis
""".split()  # noqa: SIM905
_KINDS = """
Travel Outdoor Kids Studio Garden Office Classic Junior Sport Kitchen Workshop Marine Alpine City Home School
""".split()  # noqa: SIM905
_STYLES = """
vintage minimal rustic floral striped matte glossy woven hammered quilted padded foldable compact oversized slim
insulated scented organic recycled handmade engraved magnetic wireless solar padlocked reversible stackable tapered
ribbed marbled lacquered brushed
""".split()  # noqa: SIM905
_COLOURS = """
black white red blue green yellow grey brown pink purple orange teal navy olive beige silver
""".split()  # noqa: SIM905
_SYLLABLES = """
ba co di fe ga ho ju ka lo mi na pe qui ro sa ta ve wi xo za
""".split()  # noqa: SIM905


@dataclass(frozen=True)
class SimulatedCatalogue:
    """Items of a simulated shop. Items are numbered at random; *places* order them by category, then style.

    Attributes
    ----------
    item_at : int32 (n_items,), the item at each place
    place_of : int32 (n_items,), the inverse
    cumulative : float64 (n_items + 1,), popularity weights summed over the places before
    cluster_of : int32 (n_items,), the cluster, ``category * STYLES_PER_CATEGORY + style``, at each place
    cluster_start : int32 (n_clusters + 1,), the first place of each cluster
    complements : int32 (n_categories, COMPLEMENTS), categories that go with each
    sequels : int32 (n_items, 3), the places of the sequels of the item at each place
    styles : int32 (n_categories, STYLES_PER_CATEGORY), each style's word
    brands : int32 (n_categories, BRANDS_PER_CATEGORY)
    """

    item_at: NDArray[np.int32]
    place_of: NDArray[np.int32]
    cumulative: NDArray[np.float64]
    cluster_of: NDArray[np.int32]
    cluster_start: NDArray[np.int32]
    complements: NDArray[np.int32]
    sequels: NDArray[np.int32]
    styles: NDArray[np.int32]
    brands: NDArray[np.int32]

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
    sizes = 1 / np.sqrt(np.arange(1, n_categories + 1))
    category = rng.choice(n_categories, n_items, p=sizes / sizes.sum())
    cluster = (category * STYLES_PER_CATEGORY + rng.integers(STYLES_PER_CATEGORY, size=n_items)).astype(np.int32)
    item_at = np.argsort(cluster, kind="stable").astype(np.int32)
    place_of = np.empty_like(item_at)
    place_of[item_at] = np.arange(n_items, dtype=np.int32)
    weights = (rng.permutation(n_items) + 1.0 + ZIPF_SHIFT) ** -ZIPF_EXPONENT
    cumulative = np.concatenate([[0.0], np.cumsum(weights)])
    n_clusters = n_categories * STYLES_PER_CATEGORY
    cluster_of = cluster[item_at]
    cluster_start = np.searchsorted(cluster_of, np.arange(n_clusters + 1)).astype(np.int32)
    steps = np.stack([rng.permutation(n_categories - 1)[:COMPLEMENTS] + 1 for _ in range(n_categories)])
    complements = ((np.arange(n_categories)[:, None] + steps) % n_categories).astype(np.int32)
    return SimulatedCatalogue(
        item_at=item_at,
        place_of=place_of,
        cumulative=cumulative,
        cluster_of=cluster_of,
        cluster_start=cluster_start,
        complements=complements,
        sequels=_draw_sequels(rng, cluster_of, cluster_start, cumulative, complements),
        styles=_choose(rng, n_categories, len(_STYLES), STYLES_PER_CATEGORY),
        brands=rng.integers(3 * n_categories, size=(n_categories, BRANDS_PER_CATEGORY)).astype(np.int32),
    )


def item_ids(n_items: int) -> pl.Series:
    """Ids of all items: i1, i2, ..."""
    return pl.select(item_id=pl.format("i{}", pl.int_range(1, n_items + 1))).to_series()


def describe_items(catalogue: SimulatedCatalogue, ids: pl.Series, seed: int) -> Iterator[pl.DataFrame]:
    """Yield item_id, title, category, brand, description (String) of all items by number, some at a time."""
    products = pl.Series([_product(category) for category in range(catalogue.n_categories)])
    brands = pl.Series([_brand(number) for number in range(3 * catalogue.n_categories)])
    for start in range(0, catalogue.n_items, ITEMS_PER_FRAME):
        rng = np.random.default_rng([seed, 1, start])
        places = catalogue.place_of[start : start + ITEMS_PER_FRAME]
        category, style = np.divmod(catalogue.cluster_of[places], STYLES_PER_CATEGORY)
        n = len(places)
        told = rng.random(n) < TITLES_WITH_STYLE
        brand_rank = np.minimum(rng.geometric(0.4, n) - 1, BRANDS_PER_CATEGORY - 1)
        complement = catalogue.complements[category, rng.integers(COMPLEMENTS, size=n)]
        parts = pl.DataFrame(
            {
                "brand": brands.gather(catalogue.brands[category, brand_rank]),
                "style": pl.Series(_STYLES).gather(catalogue.styles[category, style]),
                "told": told,
                "colour": pl.Series(_COLOURS).gather(rng.integers(len(_COLOURS), size=n)),
                "category": products.gather(category),
                "complement": products.gather(complement),
                "names_complement": rng.random(n) < DESCRIPTIONS_WITH_COMPLEMENT,
            }
        )
        style_word = pl.when("told").then(pl.format(" {}", "style")).otherwise(pl.lit(""))
        goes_with = pl.when("names_complement").then(pl.format(" Goes with {}.", "complement")).otherwise(pl.lit(""))
        yield parts.select(
            ids[start : start + n].alias("item_id"),
            pl.format("{}{} {} {}", "brand", style_word, "colour", "category").alias("title"),
            "category",
            "brand",
            pl.format("{} {} by {}.{}", "colour", "category", "brand", goes_with).alias("description"),
        )


def _draw_sequels(
    rng: np.random.Generator,
    cluster_of: NDArray[np.int32],
    cluster_start: NDArray[np.int32],
    cumulative: NDArray[np.float64],
    complements: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Three sequels of each place, (n_items, 3); a complement without any item leaves the item its own sequel."""
    category, style = np.divmod(cluster_of, STYLES_PER_CATEGORY)
    sequels = np.empty((len(cluster_of), len(SEQUEL_SHARES)), np.int32)
    for column in range(sequels.shape[1]):
        complement = complements[category, rng.integers(COMPLEMENTS, size=len(category))]
        cluster = complement * STYLES_PER_CATEGORY + style
        low, high = cluster_start[cluster], cluster_start[cluster + 1]
        empty = low == high
        low = np.where(empty, cluster_start[complement * STYLES_PER_CATEGORY], low)
        high = np.where(empty, cluster_start[(complement + 1) * STYLES_PER_CATEGORY], high)
        weight = cumulative[low] + rng.random(len(low)) * (cumulative[high] - cumulative[low])
        drawn = np.clip(np.searchsorted(cumulative, weight, side="right") - 1, low, np.maximum(low, high - 1))
        sequels[:, column] = np.where(low == high, np.arange(len(low)), drawn)
    return sequels


def _choose(rng: np.random.Generator, rows: int, n: int, k: int) -> NDArray[np.int32]:
    """`k` different numbers below `n` in each of `rows` rows."""
    return np.stack([rng.permutation(n)[:k] for _ in range(rows)]).astype(np.int32)


def _product(category: int) -> str:
    kind, product = divmod(category, len(_PRODUCTS))
    return _PRODUCTS[product] if kind == 0 else f"{_KINDS[(kind - 1) % len(_KINDS)]} {_PRODUCTS[product]}"


def _brand(number: int) -> str:
    """A made-up name, another one for each number."""
    syllables = []
    number += len(_SYLLABLES)  # two syllables at least
    while number:
        number, digit = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[digit])
    return "".join(syllables).capitalize()
