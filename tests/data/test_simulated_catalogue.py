import numpy as np
import polars as pl
import pytest

from llmi2i_cli.data import simulated_catalogue
from llmi2i_cli.data.simulated_catalogue import (
    STYLES_PER_CATEGORY,
    describe_items,
    item_ids,
    simulate_catalogue,
)


@pytest.fixture(scope="module")
def catalogue():
    return simulate_catalogue(2000, seed=1)


def described(catalogue, seed=1):
    return pl.concat(describe_items(catalogue, item_ids(catalogue.n_items), seed))


def test_places_order_the_items_by_cluster(catalogue):
    assert catalogue.n_categories == 45  # the square root
    assert np.array_equal(np.sort(catalogue.item_at), np.arange(2000))
    assert np.array_equal(catalogue.place_of[catalogue.item_at], np.arange(2000))
    for cluster in range(45 * STYLES_PER_CATEGORY):
        places = np.flatnonzero(catalogue.cluster_of == cluster)
        start, end = catalogue.cluster_start[cluster : cluster + 2]
        assert places.tolist() == list(range(start, end))


def test_popularity_is_zipf_mandelbrot(catalogue):
    weights = np.sort(np.diff(catalogue.cumulative))[::-1]
    np.testing.assert_allclose(weights, (np.arange(1, 2001) + 20.0) ** -1.2, rtol=1e-9)


def test_sequels_are_of_the_same_style_in_a_complement(catalogue):
    for place in range(2000):
        category, style = divmod(catalogue.cluster_of[place], STYLES_PER_CATEGORY)
        near = catalogue.complements[category]
        assert category not in near
        assert len(set(near)) == 2
        for sequel in catalogue.sequels[place]:
            sequel_category, sequel_style = divmod(catalogue.cluster_of[sequel], STYLES_PER_CATEGORY)
            assert sequel_category in near
            cluster = sequel_category * STYLES_PER_CATEGORY + style
            is_empty = catalogue.cluster_start[cluster] == catalogue.cluster_start[cluster + 1]
            assert sequel_style == style or is_empty


def test_titles_tell_brand_style_colour_and_product(catalogue):
    items = described(catalogue)
    assert items.columns == ["item_id", "title", "category", "brand", "description"]
    assert items["item_id"].to_list() == [f"i{k}" for k in range(1, 2001)]
    same = items.select(
        pl.col("title").str.starts_with(pl.col("brand")) & pl.col("title").str.ends_with(pl.col("category"))
    )
    assert same.to_series().all()
    style = catalogue.cluster_of[catalogue.place_of[0]]
    category, style = divmod(style, STYLES_PER_CATEGORY)
    word = simulated_catalogue._STYLES[catalogue.styles[category, style]]
    cluster = np.flatnonzero(catalogue.cluster_of[catalogue.place_of] == catalogue.cluster_of[catalogue.place_of[0]])
    assert any(word in items["title"][int(k)] for k in cluster)
    assert items.filter(pl.int_range(pl.len()).is_in(cluster.tolist()))["category"].n_unique() == 1
    told = sum(
        simulated_catalogue._STYLES[catalogue.styles[divmod(catalogue.cluster_of[place], STYLES_PER_CATEGORY)]] in title
        for place, title in zip(catalogue.place_of, items["title"], strict=True)
    )
    assert 0.75 < told / 2000 < 0.85
    assert 0.45 < items["description"].str.contains("Goes with").mean() < 0.55


def test_names_of_categories_and_brands_differ():
    products = {simulated_catalogue._product(k) for k in range(simulated_catalogue.MOST_CATEGORIES)}
    assert len(products) == simulated_catalogue.MOST_CATEGORIES
    assert len({simulated_catalogue._brand(k) for k in range(5000)}) == 5000


def test_the_seed_decides(catalogue):
    again, other = simulate_catalogue(2000, seed=1), simulate_catalogue(2000, seed=2)
    assert np.array_equal(again.sequels, catalogue.sequels)
    assert described(again).equals(described(catalogue))
    assert not np.array_equal(other.item_at, catalogue.item_at)


def test_the_smallest_and_the_largest_number_of_categories():
    assert simulate_catalogue(10, seed=0).n_categories == 4
    assert simulate_catalogue(10, seed=0).sequels.min() >= 0
    assert simulated_catalogue.MOST_CATEGORIES * STYLES_PER_CATEGORY < 2**31
