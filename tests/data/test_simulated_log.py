import numba
import numpy as np
import polars as pl
import pytest

from llmi2i_cli.data import simulated_log
from llmi2i_cli.data.simulated_catalogue import STYLES_PER_CATEGORY, item_ids, simulate_catalogue
from llmi2i_cli.data.simulated_log import (
    DURATION_MS,
    START_MS,
    activity,
    blocks_of_users,
    simulate_block,
)

USERS, ITEMS, INTERACTIONS = 3000, 500, 30_000


@pytest.fixture(scope="module")
def catalogue():
    return simulate_catalogue(ITEMS, seed=1)


def simulated(catalogue, first=0, end=USERS, noise=0.1, seed=1):
    starts = activity(USERS, INTERACTIONS, seed)
    return simulate_block(catalogue, item_ids(ITEMS), starts, first, end, noise=noise, seed=seed)


def places(catalogue, log):
    return catalogue.place_of[log["item_id"].str.slice(1).cast(pl.Int64).to_numpy() - 1]


def test_the_random_stream_is_splitmix64():
    """The first outputs for state 0, as published with the algorithm."""
    state = np.zeros(1, np.uint64)
    published = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)
    for output in published:
        assert simulated_log._random(state) == (output >> 11) / 2**53


@pytest.mark.parametrize(("users", "interactions"), [(1, 1), (7, 7), (10, 25), (3000, 30_000)])
def test_activity_adds_up_and_everybody_has_some(users, interactions):
    starts = activity(users, interactions, seed=5)
    assert (starts[0], starts[-1], len(starts)) == (0, interactions, users + 1)
    assert np.diff(starts).min() >= min(3, interactions // users)


def test_activity_is_spread_like_a_log_normal():
    extra = np.diff(activity(20_000, 20_000 * 1003, seed=5)) - 3
    assert 0.97 < np.log(extra).std() < 1.03


def test_blocks_cover_all_users(monkeypatch):
    monkeypatch.setattr(simulated_log, "BLOCK_INTERACTIONS", 1000)
    blocks = list(blocks_of_users(101, 9999))
    assert [user for first, end in blocks for user in range(first, end)] == list(range(101))
    assert len(blocks) == 10


def test_the_log_depends_neither_on_blocks_nor_on_threads(catalogue):
    whole = simulated(catalogue)
    assert len(whole) == INTERACTIONS
    assert pl.concat([simulated(catalogue, 0, 1), simulated(catalogue, 1, 999), simulated(catalogue, 999)]).equals(
        whole
    )
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert simulated(catalogue).equals(whole)
    finally:
        numba.set_num_threads(threads)
    assert not simulated(catalogue, seed=2).equals(whole)


def test_users_come_in_order_and_their_times_grow_within_the_period(catalogue):
    log = simulated(catalogue)
    assert log["user_id"].unique(maintain_order=True).to_list() == [f"u{k}" for k in range(1, USERS + 1)]
    growing = log.select((pl.col("timestamp").diff().over("user_id") > 0).all()).item()
    assert growing
    assert log["timestamp"].min() >= START_MS
    assert log["timestamp"].max() < START_MS + DURATION_MS
    days = (log["timestamp"] - START_MS) // 86_400_000
    per_day = np.bincount(days.to_numpy(), minlength=180)
    assert per_day[-1] > 0.5 * per_day[-30:].mean()  # the last day is a day like others


def test_noise_alone_is_popularity(catalogue):
    counts = np.bincount(places(catalogue, simulated(catalogue, noise=1.0)), minlength=ITEMS)
    expected = np.diff(catalogue.cumulative) / catalogue.cumulative[-1]
    top = np.argsort(-expected)[:100]
    assert abs(counts[top].sum() / INTERACTIONS / expected[top].sum() - 1) < 0.03
    assert np.corrcoef(counts, expected)[0, 1] > 0.97


def shares(catalogue, noise):
    """How often an interaction is a sequel of one of the last three, and how many clusters a user sees."""
    log = simulated(catalogue, noise=noise)
    visited = places(catalogue, log)
    users = log["user_id"].str.slice(1).cast(pl.Int64).to_numpy()
    follows = np.zeros(INTERACTIONS, bool)
    for back in (1, 2, 3):
        known = np.flatnonzero(users[back:] == users[:-back]) + back
        follows[known] |= (catalogue.sequels[visited[known - back]] == visited[known, None]).any(axis=1)
    has_past = np.flatnonzero(users[1:] == users[:-1]) + 1
    clusters = pl.DataFrame({"user": users, "cluster": catalogue.cluster_of[visited]}).group_by("user").n_unique()
    return follows[has_past].mean(), clusters["cluster"].mean()


def test_items_follow_their_sequels_and_users_keep_to_their_interests(catalogue):
    sequels, clusters = shares(catalogue, noise=0.0)
    chance_sequels, chance_clusters = shares(catalogue, noise=1.0)
    assert 0.40 < sequels < 0.45  # 0.3 of the first draws, more of the repeated ones, and what interests hit by chance
    assert chance_sequels < 0.05
    assert clusters < 0.7 * chance_clusters


def test_recent_items_are_rarely_repeated(catalogue):
    log = simulated(catalogue, noise=0.0)
    assert 0 < log.select("user_id", "item_id").is_duplicated().mean() < 0.25


def test_a_drifting_interest_keeps_its_style_or_goes_anywhere(catalogue):
    near = 0
    n = 4000
    state = np.array([9], np.uint64)
    clusters = (catalogue.cumulative, catalogue.cluster_of, catalogue.cluster_start, catalogue.complements)
    interest = int(catalogue.cluster_of[0])
    category, style = divmod(interest, STYLES_PER_CATEGORY)
    filled = [
        int(other) * STYLES_PER_CATEGORY + style
        for other in catalogue.complements[category]
        if (catalogue.cluster_of == int(other) * STYLES_PER_CATEGORY + style).any()
    ]
    for _ in range(n):
        near += simulated_log._drift(state, interest, *clusters) in filled
    expected = 0.5 * len(filled) / 2
    assert expected - 0.03 < near / n < expected + 0.06
