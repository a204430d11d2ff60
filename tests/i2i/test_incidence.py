import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.i2i.incidence import incidence
from tests.i2i.test_swing import random_log


@pytest.mark.parametrize("repeats, merge", [("max", max), ("sum", lambda a, b: a + b)])
@pytest.mark.parametrize("weighted", [False, True])
def test_each_user_and_item_once_both_ways(repeats, merge, weighted):
    histories = random_log(2, weighted=weighted)
    weight_of: dict[tuple[int, int], float] = {}
    for n, pair in enumerate(zip(histories.user_of_each().tolist(), histories.items.tolist(), strict=True)):
        weight = 1.0 if histories.weights is None else float(histories.weights[n])
        weight_of[pair] = merge(weight_of[pair], weight) if pair in weight_of else weight

    log = incidence(histories, repeats=repeats)
    users = np.repeat(np.arange(log.n_users), log.lengths)
    pairs = list(zip(log.user_order[users].tolist(), log.item_order[log.user_items].tolist(), strict=True))
    weights = log.weights.tolist() if log.weighted else [1.0] * len(pairs)
    assert len(pairs) == len(weight_of)
    assert dict(zip(pairs, weights, strict=True)) == pytest.approx(weight_of)

    for user in range(log.n_users):
        assert (np.diff(log.user_items[log.user_ptr[user] : log.user_ptr[user + 1]]) > 0).all()
    for item in range(log.n_items):
        row = slice(log.item_ptr[item], log.item_ptr[item + 1])
        assert (np.diff(log.item_users[row]) > 0).all()
        assert (log.user_items[log.item_entries[row]] == item).all()
        assert (users[log.item_entries[row]] == log.item_users[row]).all()
    assert (np.diff(log.lengths) >= 0).all()
    assert (np.diff(histories.item_counts()[log.item_order]) <= 0).all()


def test_weights_that_are_all_one_are_no_weights():
    ones = Histories(np.array([0, 2]), np.array([0, 1], np.int32), 2, np.ones(2, np.float32))
    assert not incidence(ones, repeats="max").weighted
    assert not incidence(Histories.from_rows([[0, 0]], 1), repeats="max").weighted
    assert incidence(Histories.from_rows([[0, 0]], 1), repeats="sum").weights.tolist() == [2]


@pytest.mark.parametrize("item", [-1, 2])
def test_items_outside_the_catalogue(item):
    with pytest.raises(ValueError, match=r"item indices must lie in 0 .. 1, found"):
        incidence(Histories.from_rows([[0, item]], 2), repeats="max")


@pytest.mark.parametrize("weight", [-0.5, np.nan, np.inf])
def test_weights_that_are_none(weight):
    histories = Histories(np.array([0, 1]), np.array([0], np.int32), 1, np.array([weight], np.float32))
    with pytest.raises(ValueError, match="weights must be finite and at least 0"):
        incidence(histories, repeats="max")
