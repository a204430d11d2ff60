import re

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.data import simulated_titles
from llmi2i_cli.data.simulated_catalogue import MOST_CATEGORIES, STYLES_PER_CATEGORY, item_ids, simulate_catalogue
from llmi2i_cli.data.simulated_titles import (
    TITLES_WITH_NUMBER,
    TITLES_WITH_SERIES,
    TITLES_WITH_STYLE,
    describe_items,
)

NAME = "[A-Z][a-z]+"
TITLE = re.compile(
    rf"(?P<brand>{NAME})(?P<series> {NAME})?(?P<style> (?:{'|'.join(simulated_titles._STYLES)}))?"
    rf" (?P<colour>{'|'.join(simulated_titles._COLOURS)})"
    rf" (?P<one>{'|'.join(simulated_titles._FEATURES)}) (?P<two>{'|'.join(simulated_titles._FEATURES)})"
    r" (?P<category>[-A-Za-z ]+), \d+ (?:inch|pack|ounce|count|piece|set)(?P<number> M\d+)?"
)


@pytest.fixture(scope="module")
def catalogue():
    return simulate_catalogue(2000, seed=1)


@pytest.fixture(scope="module")
def items(catalogue):
    """The described items, with the parts of their titles and the cluster and series of each."""
    described = pl.concat(describe_items(catalogue, item_ids(2000), seed=1))
    parts = [match.groupdict() for title in described["title"] if (match := TITLE.fullmatch(title))]
    assert len(parts) == 2000  # every title has this form
    named = pl.DataFrame(parts, schema=dict.fromkeys(TITLE.groupindex, pl.String))
    named = named.rename({"brand": "named_brand", "category": "named_category"})
    places = catalogue.place_of
    columns = {"cluster": catalogue.cluster_of[places], "series_number": catalogue.series_of[places]}
    return pl.concat([described, named, pl.DataFrame(columns)], how="horizontal")


def test_items_are_described_by_number(items):
    assert items.columns[:5] == ["item_id", "title", "category", "brand", "description"]
    assert items["item_id"].to_list() == [f"i{k}" for k in range(1, 2001)]


def test_titles_name_brand_and_category(items):
    assert items["named_brand"].equals(items["brand"], check_names=False)
    assert items["named_category"].equals(items["category"], check_names=False)
    categories = items.group_by(items["cluster"] // STYLES_PER_CATEGORY).agg(pl.col("category").n_unique())
    assert categories["category"].to_list() == [1] * len(categories)


@pytest.mark.parametrize(
    ("part", "share"), [("series", TITLES_WITH_SERIES), ("style", TITLES_WITH_STYLE), ("number", TITLES_WITH_NUMBER)]
)
def test_some_titles_tell_more(items, part, share):
    assert abs(items[part].is_not_null().mean() - share) < 0.05


def test_a_cluster_has_one_style_and_a_series_one_name(items):
    assert items.drop_nulls("style").group_by("cluster").agg(pl.col("style").n_unique())["style"].max() == 1
    named = items.drop_nulls("series")
    assert named.group_by("series_number").agg(pl.col("series").n_unique())["series"].max() == 1
    assert named.group_by("series").agg(pl.col("series_number").n_unique())["series_number"].max() == 1
    assert items.drop_nulls("number")["number"].is_unique().all()


def test_features_are_two_of_the_ten_of_the_category(items):
    assert (items["one"] != items["two"]).all()
    words = pl.concat([items.select("category", pl.col(name).alias("word")) for name in ("one", "two")])
    n_words = words.group_by("category").agg(pl.col("word").n_unique(), pl.len().alias("titles"))
    assert n_words["word"].max() == 10
    assert n_words.filter(pl.col("titles") > 100)["word"].min() == 10


def test_half_of_the_descriptions_name_a_complement(items, catalogue):
    known = dict(items.select(pl.col("cluster") // STYLES_PER_CATEGORY, "category").iter_rows())
    named = 0
    for cluster, description in items.select("cluster", "description").iter_rows():
        if " Goes with " in description:
            complement = description.split(" Goes with ")[1].removesuffix(".")
            near = catalogue.complements[cluster // STYLES_PER_CATEGORY]
            assert complement in {known.get(int(category)) for category in near} | {
                simulated_titles._product(int(category)) for category in near
            }
            named += 1
    assert 900 < named < 1100


def test_the_seed_decides_and_the_blocks_do_not_matter_to_what_ties_items_together(catalogue, monkeypatch):
    whole = pl.concat(describe_items(catalogue, item_ids(2000), seed=1))
    assert pl.concat(describe_items(catalogue, item_ids(2000), seed=1)).equals(whole)
    assert not pl.concat(describe_items(catalogue, item_ids(2000), seed=2))["brand"].equals(whole["brand"])
    monkeypatch.setattr(simulated_titles, "ITEMS_PER_FRAME", 300)
    frames = list(describe_items(catalogue, item_ids(2000), seed=1))
    assert [len(frame) for frame in frames] == [300] * 6 + [200]
    assert pl.concat(frames).select("item_id", "category", "brand").equals(whole.select("item_id", "category", "brand"))


def test_names_of_categories_and_brands_differ():
    assert len({simulated_titles._product(k) for k in range(MOST_CATEGORIES)}) == MOST_CATEGORIES
    assert len({simulated_titles._name(k) for k in range(5000)}) == 5000
    assert np.unique(simulated_titles._FEATURES).size == len(simulated_titles._FEATURES) == 400
