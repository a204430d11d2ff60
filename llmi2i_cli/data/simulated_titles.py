"""What the simulated shop writes on its items: titles from which something, but not everything, can be told.

    Sataro Bepequi rustic teal flexgrip purefold Kettle, 12 ounce M1893
    brand  series  style  colour  two features   product  size    number

- The product is the category; brands are shared by categories.
- The series is a made-up word of its own for each brand of each cluster: it ties the items that follow each other.
  30% of the titles name it, 50% the style, and 40% have a model number, which is unique.
- Features are two of the ten that titles of the category advertise with. Colour and size mean nothing.
- One description in two names a category that goes with the item's own.

So a text tells the category of its item always, its cluster half of the time, what goes with it now and then and
roughly, and nothing of its popularity.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from llmi2i_cli.data.simulated_catalogue import (
    BRANDS_PER_CATEGORY,
    COMPLEMENTS,
    STYLES_PER_CATEGORY,
    SimulatedCatalogue,
    choose,
)

FEATURES_PER_CATEGORY = 10
FEATURES_PER_TITLE = 2
TITLES_WITH_SERIES = 0.3
TITLES_WITH_STYLE = 0.5
TITLES_WITH_NUMBER = 0.4
DESCRIPTIONS_WITH_COMPLEMENT = 0.5
LARGEST_AMOUNT = 24
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
_FEATURE_STARTS = """
aqua ever easy flex eco quick soft pure ultra true max smart cool clear safe firm twin bright fresh steel
""".split()  # noqa: SIM905
_FEATURE_ENDS = """
grip lock clean touch fit flow guard seal dry glow mix shield core wave lite fold snap glide weave form
""".split()  # noqa: SIM905
_FEATURES = [start + end for start in _FEATURE_STARTS for end in _FEATURE_ENDS]
_UNITS = ("inch", "pack", "ounce", "count", "piece", "set")
_SYLLABLES = """
ba co di fe ga ho ju ka lo mi na pe qui ro sa ta ve wi xo za
""".split()  # noqa: SIM905


def describe_items(catalogue: SimulatedCatalogue, ids: pl.Series, seed: int) -> Iterator[pl.DataFrame]:
    """Yield item_id, title, category, brand, description (String) of all items by number, some at a time."""
    rng = np.random.default_rng([seed, 3])
    n_categories = catalogue.n_categories
    styles = choose(rng, n_categories, len(_STYLES), STYLES_PER_CATEGORY)
    features = choose(rng, n_categories, len(_FEATURES), FEATURES_PER_CATEGORY)
    n_brands = 3 * n_categories  # of which each category has its eight
    n_series = n_categories * STYLES_PER_CATEGORY * BRANDS_PER_CATEGORY
    brands = rng.integers(n_brands, size=(n_categories, BRANDS_PER_CATEGORY))
    names = pl.Series([_name(number) for number in range(n_brands + n_series)])  # of brands, then of series
    products = pl.Series([_product(category) for category in range(n_categories)])
    for start in range(0, catalogue.n_items, ITEMS_PER_FRAME):
        rng = np.random.default_rng([seed, 1, start])
        places = catalogue.place_of[start : start + ITEMS_PER_FRAME]
        n = len(places)
        category, style = np.divmod(catalogue.cluster_of[places], STYLES_PER_CATEGORY)
        series = catalogue.series_of[places]
        advertised = choose(rng, n, FEATURES_PER_CATEGORY, FEATURES_PER_TITLE)
        feature, other_feature = features[category[:, None], advertised].T
        parts = pl.DataFrame(
            {
                "item_id": ids[start : start + n],
                "brand": names.gather(brands[category, series % BRANDS_PER_CATEGORY]),
                "series": names.gather(n_brands + series),
                "style": pl.Series(_STYLES).gather(styles[category, style]),
                "colour": pl.Series(_COLOURS).gather(rng.integers(len(_COLOURS), size=n)),
                "feature": pl.Series(_FEATURES).gather(feature),
                "other_feature": pl.Series(_FEATURES).gather(other_feature),
                "category": products.gather(category),
                "amount": rng.integers(1, LARGEST_AMOUNT + 1, size=n),
                "unit": pl.Series(_UNITS).gather(rng.integers(len(_UNITS), size=n)),
                "number": np.arange(start, start + n),
                "complement": products.gather(catalogue.complements[category, rng.integers(COMPLEMENTS, size=n)]),
            }
        )
        title = _sentence(
            "brand",
            _told(rng, n, TITLES_WITH_SERIES, "series"),
            _told(rng, n, TITLES_WITH_STYLE, "style"),
            "colour",
            "feature",
            "other_feature",
            pl.format("{}, {} {}", "category", "amount", "unit"),
            _told(rng, n, TITLES_WITH_NUMBER, pl.format("M{}", "number")),
        )
        description = _sentence(
            pl.format("{} {} by {}.", "colour", "category", "brand"),
            _told(rng, n, DESCRIPTIONS_WITH_COMPLEMENT, pl.format("Goes with {}.", "complement")),
        )
        yield parts.select("item_id", title.alias("title"), "category", "brand", description.alias("description"))


def _told(rng: np.random.Generator, n: int, share: float, word: str | pl.Expr) -> pl.Expr:
    """`word` in about `share` of the `n` rows, null in the others."""
    return pl.when(pl.Series(rng.random(n) < share)).then(word)


def _sentence(*words: str | pl.Expr) -> pl.Expr:
    """The words that are not null, with spaces between them."""
    return pl.concat_str(words, separator=" ", ignore_nulls=True)


def _product(category: int) -> str:
    kind, product = divmod(category, len(_PRODUCTS))
    return _PRODUCTS[product] if kind == 0 else f"{_KINDS[(kind - 1) % len(_KINDS)]} {_PRODUCTS[product]}"


def _name(number: int) -> str:
    """A made-up name, another one for each number."""
    syllables = []
    number += len(_SYLLABLES)  # two syllables at least
    while number:
        number, digit = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[digit])
    return "".join(syllables).capitalize()
