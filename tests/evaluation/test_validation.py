from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.evaluation.validation import (
    RECENT_GRID,
    HeldOut,
    Lookup,
    best_lookup,
    recall_by_lookup,
    recall_by_recent,
)
from llmi2i_cli.i2i.neighbours import Neighbours


def test_recall_of_each_number_of_recent_items():
    # Item k points to k + 6 alone. The target of user 0 follows from the last item, that of user 1 from the third last.
    ids = np.array([[6], [7], [8], [9], [10], [11]] + [[-1]] * 6, np.int32)
    neighbours = Neighbours(ids, (ids >= 0).astype(np.float32))
    queries = Histories.from_rows([[0, 1, 2], [3, 4, 5], [0]], 12)
    targets = Histories.from_rows([[8], [9], [0]], 12)  # the third user's is seen already and cannot be hit
    recalls = recall_by_recent(neighbours, HeldOut(np.arange(3), queries, targets))
    assert recalls == pytest.approx({recent: (1 / 3 if recent < 3 else 2 / 3) for recent in RECENT_GRID})


def decayed():
    # The last item points to ten others with score 1, the one before to the target alone, with score 1.5.
    ids = np.full((13, 10), -1, np.int32)
    ids[0], ids[1, 0] = np.arange(2, 12), 12
    neighbours = Neighbours(ids, np.where(ids == 12, 1.5, ids >= 0).astype(np.float32))
    held_out = HeldOut(np.arange(1), Histories.from_rows([[1, 0]], 13), Histories.from_rows([[12]], 13))
    return neighbours, held_out


def test_recall_with_a_decay():
    neighbours, held_out = decayed()
    assert recall_by_recent(neighbours, held_out, recents=(1, 2)) == {1: 0, 2: 1}
    assert recall_by_recent(neighbours, held_out, recents=(2,), decay=0.7) == {2: 1}
    assert recall_by_recent(neighbours, held_out, recents=(2,), decay=0.6) == {2: 0}


def test_every_m_is_tried_with_every_decay_but_a_single_item_with_one():
    neighbours, held_out = decayed()
    tried = recall_by_lookup(neighbours, held_out, recents=(1, 2), decays=(1.0, 0.7, 0.6))
    assert tried == {Lookup(1, 1.0): 0, Lookup(2, 1.0): 1, Lookup(2, 0.7): 1, Lookup(2, 0.6): 0}


def test_of_equal_lookups_the_cheapest_and_plainest_is_best():
    recalls = {Lookup(1, 1.0): 0.2, Lookup(5, 1.0): 0.3, Lookup(2, 0.5): 0.3, Lookup(2, 0.8): 0.3, Lookup(3, 1.0): 0.1}
    assert best_lookup(recalls) == Lookup(2, 0.8)


def test_histories_of_some_users():
    log = Histories.from_rows([[1, 2], [], [3], [4, 5, 6]], 7)
    some = log.take(np.array([3, 1, 0]))
    assert [some.row(user).tolist() for user in range(3)] == [[4, 5, 6], [], [1, 2]]


def test_of_many_users_the_same_sample_is_taken_and_none_without_a_query():
    queries = Histories.from_rows([[user] if user % 3 else [] for user in range(30)], 40)
    targets = Histories.from_rows([[user + 5] for user in range(30)], 40)
    held_out = HeldOut(np.arange(100, 130), queries, targets)
    some, again = held_out.sample(7), held_out.sample(7)
    assert some.users.tolist() == again.users.tolist() == sorted(set(some.users.tolist()))
    assert len(some.users) == 7
    assert some.queries.items.tolist() == (some.users - 100).tolist()  # none of them is a multiple of 3
    assert some.targets.items.tolist() == (some.users - 95).tolist()
    assert len(held_out.sample(1000).users) == 20
