import numpy as np
import pytest

from llmi2i_cli.data import simulated_catalogue
from llmi2i_cli.data.simulated_catalogue import (
    BRANDS_PER_CATEGORY,
    CLUSTER_SIGMA,
    ITEM_SCALE,
    NEW_ITEMS,
    STYLES_PER_CATEGORY,
    USUAL_BRAND,
    choose,
    simulate_catalogue,
)


@pytest.fixture(scope="module")
def catalogue():
    return simulate_catalogue(2000, seed=1)


def test_places_order_the_items_by_cluster_then_release(catalogue):
    assert catalogue.n_categories == 45  # the square root
    assert np.array_equal(np.sort(catalogue.item_at), np.arange(2000))
    assert np.array_equal(catalogue.place_of[catalogue.item_at], np.arange(2000))
    for cluster in range(45 * STYLES_PER_CATEGORY):
        places = np.flatnonzero(catalogue.cluster_of == cluster)
        start, end = catalogue.cluster_start[cluster : cluster + 2]
        assert places.tolist() == list(range(start, end))
        assert (np.diff(catalogue.released[start:end]) >= 0).all()


def test_some_items_come_later_but_the_first_of_a_cluster_never_does(catalogue):
    filled = np.diff(catalogue.cluster_start) > 0
    assert (catalogue.released[catalogue.cluster_start[:-1][filled]] == 0).all()
    later = catalogue.released[catalogue.released > 0]
    assert NEW_ITEMS - 0.05 < len(later) / 2000 < NEW_ITEMS + 0.03
    assert later.max() < 1
    assert 0.45 < later.mean() < 0.55


def test_popularity_is_log_normal_among_clusters_and_a_power_law_within_them():
    catalogue = simulate_catalogue(20_000, seed=1)
    log_weights = np.log(np.diff(catalogue.cumulative))
    n_clusters = len(catalogue.cluster_start) - 1
    base = np.full(n_clusters, np.inf)  # an item has at least the popularity of its cluster
    np.minimum.at(base, catalogue.cluster_of, log_weights)
    large = np.diff(catalogue.cluster_start) > 20
    assert abs(base[large].std() / CLUSTER_SIGMA - 1) < 0.1
    above = (log_weights - base[catalogue.cluster_of])[large[catalogue.cluster_of]]
    for at in (1, 2, 3):  # the tail of an exponential
        assert abs((above > at * ITEM_SCALE).mean() / np.exp(-at) - 1) < 0.1


def test_the_first_sequel_is_the_next_of_its_series(catalogue):
    n_followed = 0
    for place, series in enumerate(catalogue.series_of):
        later = np.flatnonzero(catalogue.series_of[place + 1 :] == series) + place + 1
        if len(later):
            assert catalogue.sequels[place, 0] == later[0]
            n_followed += 1
    assert n_followed > 800


def test_accessories_are_of_the_same_style_in_a_complement(catalogue):
    for place in range(2000):
        category, style = divmod(catalogue.cluster_of[place], STYLES_PER_CATEGORY)
        near = catalogue.complements[category]
        assert category not in near
        assert len(set(near)) == 2
        is_last = catalogue.series_of[place] not in catalogue.series_of[place + 1 :]
        for sequel in catalogue.sequels[place, 0 if is_last else 1 :]:
            sequel_category, sequel_style = divmod(catalogue.cluster_of[sequel], STYLES_PER_CATEGORY)
            assert sequel_category in near
            cluster = sequel_category * STYLES_PER_CATEGORY + style
            is_empty = catalogue.cluster_start[cluster] == catalogue.cluster_start[cluster + 1]
            assert sequel_style == style or is_empty


def test_a_style_has_a_usual_brand(catalogue):
    cluster, brand = np.divmod(catalogue.series_of, BRANDS_PER_CATEGORY)
    assert np.array_equal(cluster, catalogue.cluster_of)
    is_usual = brand == cluster % STYLES_PER_CATEGORY
    assert USUAL_BRAND - 0.05 < is_usual.mean() < USUAL_BRAND + 0.05


def test_the_seed_decides(catalogue):
    again, other = simulate_catalogue(2000, seed=1), simulate_catalogue(2000, seed=2)
    assert np.array_equal(again.sequels, catalogue.sequels)
    assert np.array_equal(again.cumulative, catalogue.cumulative)
    assert not np.array_equal(other.item_at, catalogue.item_at)


def test_the_smallest_and_the_largest_number_of_categories():
    assert simulate_catalogue(10, seed=0).n_categories == 4
    assert simulate_catalogue(10, seed=0).sequels.min() >= 0
    assert simulated_catalogue.MOST_CATEGORIES * STYLES_PER_CATEGORY * BRANDS_PER_CATEGORY < 2**31


def test_choosing_takes_different_numbers_and_each_equally_often():
    chosen = choose(np.random.default_rng(3), 3000, 5, 2)
    assert (chosen[:, 0] != chosen[:, 1]).all()
    assert np.abs(np.bincount(chosen.ravel(), minlength=5) / 6000 - 0.2).max() < 0.03
