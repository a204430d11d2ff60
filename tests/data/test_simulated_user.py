"""What users do, told from logs in which the effect at hand can be seen."""

from dataclasses import replace

import numpy as np
import pytest

from llmi2i_cli.data import simulated_user
from llmi2i_cli.data.simulated_catalogue import STYLES_PER_CATEGORY, simulate_catalogue
from llmi2i_cli.data.simulated_log import activity
from llmi2i_cli.data.simulated_user import (
    DRIFT_TO_COMPLEMENT,
    DURATION_MS,
    FRONT_PAGE,
    REBUY,
    SESSION_GAP_MS,
    SHORT_GAPS,
    START_MS,
    Shelves,
    fill_users,
)

USERS, ITEMS, INTERACTIONS = 3000, 500, 30_000


@pytest.fixture(scope="module")
def catalogue():
    return simulate_catalogue(ITEMS, seed=1)


def simulated(catalogue, noise):
    """Users, places and times of the whole log."""
    offsets = activity(USERS, INTERACTIONS, seed=1)
    places, times = np.empty(INTERACTIONS, np.int32), np.empty(INTERACTIONS, np.int64)
    fill_users(0, offsets, np.uint64(1), noise, Shelves.of(catalogue), places, times)
    return np.repeat(np.arange(USERS), np.diff(offsets)), places, times


def test_the_random_stream_is_splitmix64():
    """The first outputs for state 0, as published with the algorithm."""
    state = np.zeros(1, np.uint64)
    published = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)
    for output in published:
        assert simulated_user._random(state) == (output >> 11) / 2**53


def test_noise_alone_is_the_most_popular_of_some(catalogue):
    """On a catalogue that is on sale as a whole from the start; first items, as later ones are not repeated."""
    catalogue = replace(catalogue, released=np.zeros(ITEMS))
    users, places, _ = simulated(catalogue, noise=1.0)
    first = places[np.append(True, users[1:] != users[:-1])]
    popularity = np.diff(catalogue.cumulative) / catalogue.cumulative[-1]
    order = np.argsort(popularity)  # P(all of some draws are among the least popular) is a power
    expected = np.cumsum(popularity[order]) ** FRONT_PAGE
    found = np.cumsum(np.bincount(first, minlength=ITEMS)[order]) / USERS
    assert np.abs(found - expected).max() < 0.03  # Kolmogorov-Smirnov: 1.63 / sqrt(3000) at 1%


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_nothing_is_bought_before_it_is_on_sale(catalogue, noise):
    _, places, times = simulated(catalogue, noise)
    released = catalogue.released[places]
    assert (released <= (times - START_MS) / DURATION_MS).all()
    assert 0.05 < np.mean(released > 0) < 0.3  # new items are bought, too


def follows_a_sequel(catalogue, noise):
    """How often an interaction, not a user's first one, is a sequel of one of the three before."""
    users, places, _ = simulated(catalogue, noise)
    follows = np.zeros(INTERACTIONS, bool)
    for back in (1, 2, 3):
        known = np.flatnonzero(users[back:] == users[:-back]) + back
        follows[known] |= (catalogue.sequels[places[known - back]] == places[known, None]).any(axis=1)
    return follows[1:][users[1:] == users[:-1]].mean()


def test_items_follow_their_sequels(catalogue):
    assert follows_a_sequel(catalogue, noise=0.0) > follows_a_sequel(catalogue, noise=1.0) + 0.1


def categories_per_user(catalogue, noise):
    users, places, _ = simulated(catalogue, noise)
    pairs = np.unique(np.stack([users, catalogue.cluster_of[places] // STYLES_PER_CATEGORY]), axis=1)
    return pairs.shape[1] / USERS


def test_users_keep_to_their_interests(catalogue):
    assert categories_per_user(catalogue, noise=0.0) < 0.8 * categories_per_user(catalogue, noise=1.0)


def test_a_session_is_about_one_interest(catalogue):
    users, places, times = simulated(catalogue, noise=0.0)
    cluster = catalogue.cluster_of[places]
    same_user, stays = users[1:] == users[:-1], cluster[1:] == cluster[:-1]
    in_session = np.diff(times) <= SESSION_GAP_MS
    assert abs(in_session[same_user].mean() - SHORT_GAPS) < 0.03
    assert stays[same_user & in_session].mean() > stays[same_user & ~in_session].mean() + 0.2


def test_items_are_bought_again_as_often_as_said(catalogue):
    """The last twenty are avoided otherwise; what comes back by chance after three redraws is little."""
    users, places, _ = simulated(catalogue, noise=1.0)
    n_distinct = len(np.unique(users * ITEMS + places))
    n_rebought = (INTERACTIONS - n_distinct) / (INTERACTIONS - USERS)
    assert 0.8 * REBUY < n_rebought < 1.6 * REBUY


def test_a_drifting_interest_keeps_its_style_or_goes_anywhere(catalogue):
    n_near, n = 0, 4000
    state = np.array([9], np.uint64)
    shelves = Shelves.of(catalogue)
    interest = int(catalogue.cluster_of[0])
    category, style = divmod(interest, STYLES_PER_CATEGORY)
    filled = [
        int(other) * STYLES_PER_CATEGORY + style
        for other in catalogue.complements[category]
        if (catalogue.cluster_of == int(other) * STYLES_PER_CATEGORY + style).any()
    ]
    for _ in range(n):
        n_near += simulated_user._near(state, shelves, interest) in filled
    expected = DRIFT_TO_COMPLEMENT * len(filled) / 2
    assert expected - 0.03 < n_near / n < expected + 0.06
