import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories

ROWS = [[3, 1, 1], [], [0], [2, 3, 0, 1]]


@pytest.fixture
def histories():
    return Histories.from_rows(ROWS, 6)


def rows_of(histories):
    return [histories.row(user).tolist() for user in range(histories.n_users)]


def test_from_rows(histories):
    assert histories.ptr.tolist() == [0, 3, 3, 4, 8] and histories.ptr.dtype == np.int64
    assert histories.items.tolist() == [3, 1, 1, 0, 2, 3, 0, 1] and histories.items.dtype == np.int32
    assert rows_of(histories) == ROWS
    assert (histories.n_users, histories.n_items) == (4, 6)


def test_no_users():
    histories = Histories.from_rows([], 2)
    assert histories.n_users == 0
    assert histories.item_counts().tolist() == [0, 0]
    assert histories.most_recent(3).n_users == 0


def test_counts(histories):
    assert histories.lengths.tolist() == [3, 0, 1, 4]
    assert histories.user_of_each().tolist() == [0, 0, 0, 2, 3, 3, 3, 3]
    assert histories.item_counts().tolist() == [2, 3, 1, 2, 0, 0]


@pytest.mark.parametrize("weighted", [False, True])
def test_most_recent_keeps_the_ends(histories, weighted):
    weights = np.arange(8, dtype=np.float32) if weighted else None
    histories = Histories(histories.ptr, histories.items, 6, weights)
    recent = histories.most_recent(2)
    assert rows_of(recent) == [[1, 1], [], [0], [0, 1]]
    assert recent.ptr.tolist() == [0, 2, 2, 3, 5] and recent.n_items == 6
    assert (None if recent.weights is None else recent.weights.tolist()) == ([1, 2, 3, 6, 7] if weighted else None)


@pytest.mark.parametrize("limit", [0, 4, 100])
def test_most_recent_of_all(histories, limit):
    assert rows_of(histories.most_recent(limit)) == ROWS


def test_take(histories):
    weighted = Histories(histories.ptr, histories.items, 6, np.arange(8, dtype=np.float32))
    taken = weighted.take(np.array([3, 1, 0]))
    assert rows_of(taken) == [ROWS[3], ROWS[1], ROWS[0]]
    assert taken.weights is not None and taken.weights.tolist() == [4, 5, 6, 7, 0, 1, 2]


def test_before_is_what_stood_before_in_the_users_own_row(histories):
    assert rows_of(histories.before(np.arange(8), 2)) == [[], [3], [3, 1], [], [], [2], [2, 3], [3, 0]]


def test_around_takes_the_nearest_others_and_puts_the_nearest_last(histories):
    around = histories.around(np.arange(8), 2)
    assert rows_of(around) == [[1, 1], [1, 3], [3, 1], [], [0, 3], [0, 2], [2, 3], [3, 0]]
    everything = histories.around(np.arange(4, 8), 9)
    assert rows_of(everything) == [[1, 0, 3], [1, 0, 2], [1, 2, 3], [2, 3, 0]]


def test_around_equals_its_plain_twin():
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows = [rng.integers(0, 9, rng.integers(0, 12)).tolist() for _ in range(6)]
        limit = int(rng.integers(0, 7))
        expected = []
        for row in rows:
            for place in range(len(row)):
                before = row[max(0, place - limit) : place]
                after = row[place + 1 : place + 1 + limit - len(before)]
                expected.append([*reversed(after), *before])
        histories = Histories.from_rows(rows, 9)
        assert rows_of(histories.around(np.arange(len(histories.items)), limit)) == expected
