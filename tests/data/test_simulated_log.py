import numba
import numpy as np
import polars as pl
import pytest

from llmi2i_cli.data import simulated_log
from llmi2i_cli.data.simulated_catalogue import item_ids, simulate_catalogue
from llmi2i_cli.data.simulated_log import ACTIVITY_SIGMA, FEWEST_PER_USER, activity, blocks_of_users, simulate_block
from llmi2i_cli.data.simulated_user import DURATION_MS, START_MS

USERS, ITEMS, INTERACTIONS = 3000, 500, 30_000


@pytest.fixture(scope="module")
def catalogue():
    return simulate_catalogue(ITEMS, seed=1)


def simulated(catalogue, first=0, end=USERS, noise=0.1, seed=1):
    starts = activity(USERS, INTERACTIONS, seed)
    return simulate_block(catalogue, item_ids(ITEMS), starts, first, end, noise=noise, seed=seed)


@pytest.mark.parametrize(("users", "interactions"), [(1, 1), (7, 7), (10, 25), (3000, 30_000)])
def test_activity_adds_up_and_everybody_has_some(users, interactions):
    starts = activity(users, interactions, seed=5)
    assert (starts[0], starts[-1], len(starts)) == (0, interactions, users + 1)
    assert np.diff(starts).min() >= min(FEWEST_PER_USER, interactions // users)


def test_activity_is_spread_like_a_log_normal():
    extra = np.diff(activity(20_000, 20_000 * 1004, seed=5)) - FEWEST_PER_USER
    assert abs(np.log(extra).std() / ACTIVITY_SIGMA - 1) < 0.03


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
