"""Swing against a twin in plain Python, on random and on adversarial logs, and in hand fractions."""

from itertools import combinations

import numba
import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.errors import UsageError
from llmi2i_cli.i2i import slices, swing
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours, tie_ranks
from llmi2i_cli.i2i.row_job import rank_rows
from llmi2i_cli.i2i.swing import swing_neighbours, swing_rows

MASK = (1 << 64) - 1


def mix(number):
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & MASK
    return number ^ number >> 31


def plain_swing(histories, *, smoothing=5.0, weigh=lambda n: n**-0.5, max_user_items=1000, max_item_users=0, seed=42):
    """Every score by the definition, float64 (n_items, n_items): sets, and a loop over pairs of users for each item."""
    weights: list[dict[int, float]] = []  # of each user's items, the greatest of a repeated one
    for u in range(histories.n_users):
        weights.append({})
        for e in list(range(histories.ptr[u], histories.ptr[u + 1]))[-max_user_items or None :]:
            item, weight = int(histories.items[e]), 1.0 if histories.weights is None else float(histories.weights[e])
            weights[u][item] = max(weights[u].get(item, 0.0), weight)
    scores = np.zeros((histories.n_items, histories.n_items))
    for i in range(histories.n_items):
        users = [u for u in range(histories.n_users) if i in weights[u]]
        if max_item_users:
            users = sorted(users, key=lambda u: mix(u ^ mix(i ^ mix(seed))))[:max_item_users]
        for u, v in combinations(users, 2):
            shared = set(weights[u]) & set(weights[v])
            pair = weigh(len(weights[u])) * weigh(len(weights[v])) / (smoothing + len(shared))
            for j in shared - {i}:
                scores[i, j] += pair * weights[u][i] * weights[u][j] * weights[v][i] * weights[v][j]
    return scores


def dense(neighbours: Neighbours):
    scores = np.zeros((neighbours.n_items, neighbours.n_items))
    for item, (ids, row) in enumerate(zip(neighbours.ids, neighbours.scores, strict=True)):
        found = ids != EMPTY
        assert found.tolist() == sorted(found, reverse=True), "padding comes last"
        assert not row[~found].any()
        scores[item, ids[found]] = row[found]
    return scores


def random_log(seed, n_users=40, n_items=30, mean=6.0, weighted=False):
    """Zipf items, so that a few are with most users; repeats; some users and items with nothing."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, n_items + 1)
    popularity /= popularity.sum()
    items = rng.permutation(n_items)
    rows = [items[rng.choice(n_items, rng.poisson(mean), p=popularity)].tolist() for _ in range(n_users)]
    histories = Histories.from_rows(rows, n_items + 2)
    if weighted:
        weights = rng.choice([0.0, 1e-6, 0.25, 0.5, 1.0, 3.0], len(histories.items)).astype(np.float32)
        histories = Histories(histories.ptr, histories.items, histories.n_items, weights)
    return histories


ADVERSARIAL = {
    "no users": Histories.from_rows([], 3),
    "no items": Histories.from_rows([[]], 0),
    "empty users": Histories.from_rows([[], [0, 1], [], [1, 0], []], 2),
    "one-item users": Histories.from_rows([[0], [0], [1], [0]], 2),
    "a catalogue of one": Histories.from_rows([[0], [0, 0]], 1),
    "repeats": Histories.from_rows([[0, 1, 0, 0], [1, 1, 0], [0, 1]], 2),
    "a user with all items": Histories.from_rows([list(range(200)), [3, 7, 150], [150, 7, 3, 9], [0, 199]], 200),
    "an item with all users": Histories.from_rows([[5, u % 4, 4 + u % 3] for u in range(30)], 8),
    "all alike": Histories.from_rows([[4, 2, 0, 1]] * 7, 6),
    "long histories": Histories.from_rows([list(range(s, s + 130)) for s in range(0, 130, 13)], 260),
    "only heavy items in common": Histories.from_rows([[*range(70), 100 + u] for u in range(5)], 110),
}


@pytest.mark.parametrize("histories", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_adversarial_logs(histories):
    for cap in (0, 2):
        neighbours = swing_neighbours(histories, top_k=260, smoothing=0.0, max_item_users=cap)
        expected = plain_swing(histories, smoothing=0.0, max_item_users=cap)
        np.testing.assert_allclose(dense(neighbours), expected, rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_items, mean", [(8, 3.0), (30, 6.0), (400, 12.0), (300, 150.0)])
@pytest.mark.parametrize("max_item_users", [0, 1, 5])
def test_random_logs(n_items, mean, weighted, max_item_users):
    for seed in range(3):
        histories = random_log(seed, 30, n_items, mean, weighted)
        expected = plain_swing(histories, max_item_users=max_item_users)
        neighbours = swing_neighbours(histories, top_k=n_items + 2, max_item_users=max_item_users)
        np.testing.assert_allclose(dense(neighbours), expected, rtol=1e-6)


def test_hand_fractions():
    # |I| = 2, 3, 4; the pairs share {0, 1}, {0, 1} and {0, 1, 2}
    histories = Histories.from_rows([[0, 1], [0, 1, 2], [3, 2, 1, 0]], 4)
    neighbours = swing_neighbours(histories, top_k=3, smoothing=1.0, user_weight="one")
    all_three, last_two = 1 / 3 + 1 / 3 + 1 / 4, 1 / 4
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = all_three
    expected[:2, 2] = expected[2, :2] = last_two
    np.testing.assert_allclose(dense(neighbours), expected, rtol=1e-6)
    first_two = swing_neighbours(histories.take(np.array([0, 1])), top_k=1, smoothing=1.0, user_weight="2:1")
    np.testing.assert_allclose(first_two.scores[:, 0], [1 / 4 * 1 / 5 / 3, 1 / 4 * 1 / 5 / 3, 0, 0], rtol=1e-6)


def test_weights_multiply_per_interaction():
    weights = np.array([0.5, 1, 2, 0.25], np.float32)
    histories = Histories(np.array([0, 2, 4]), np.array([0, 1, 0, 1], np.int32), 2, weights)
    neighbours = swing_neighbours(histories, top_k=1, smoothing=0.0, user_weight="one")
    assert neighbours.scores.tolist() == [[0.125], [0.125]]  # 0.5 * 1 * 2 * 0.25 / 2


def test_weights_so_small_that_a_difference_would_lose_them():
    weights = np.array([1, 1, 1e-15, 1], np.float32)
    histories = Histories(np.array([0, 2, 4]), np.array([0, 1, 0, 1], np.int32), 2, weights)
    neighbours = swing_neighbours(histories, top_k=1, smoothing=0.0, user_weight="one")
    np.testing.assert_allclose(neighbours.scores, [[0.5e-15], [0.5e-15]], rtol=1e-6)


def test_an_interaction_of_weight_zero_counts_in_the_history_alone():
    weights = np.array([1, 1, 0, 1, 1, 1], np.float32)
    histories = Histories(np.array([0, 3, 6]), np.array([0, 1, 2, 0, 1, 2], np.int32), 3, weights)
    neighbours = swing_neighbours(histories, top_k=2, smoothing=0.0, user_weight="one")
    assert neighbours.ids.tolist() == [[1, EMPTY], [0, EMPTY], [EMPTY, EMPTY]]
    np.testing.assert_allclose(neighbours.scores[0], [1 / 3, 0], rtol=1e-6)


def test_the_most_recent_interactions_are_kept_before_repeats_are_merged():
    rows = [[9, 8, 0, 1, 0], [9, 8, 1, 0], [8, 9]]
    histories = Histories.from_rows(rows, 10)
    expected = plain_swing(histories, max_user_items=3)
    assert expected[0, 1] > 0 and not expected[8, 9]
    np.testing.assert_allclose(dense(swing_neighbours(histories, top_k=9, max_user_items=3)), expected, rtol=1e-6)
    everything = swing_neighbours(histories, top_k=9, max_user_items=0)
    np.testing.assert_allclose(dense(everything), plain_swing(histories), rtol=1e-6)


def test_a_draw_of_users_is_another_one_with_another_seed():
    histories = random_log(1, n_users=60)
    one, same, other = (swing_neighbours(histories, max_item_users=4, seed=seed) for seed in (7, 7, 8))
    assert one.scores.tobytes() == same.scores.tobytes()
    assert one.scores.tobytes() != other.scores.tobytes()
    np.testing.assert_allclose(
        dense(swing_neighbours(histories, top_k=32, max_item_users=4, seed=7)),
        plain_swing(histories, max_item_users=4, seed=7),
        rtol=1e-6,
    )


def test_rows_are_the_top_k_and_ties_follow_the_tie_ranks():
    histories = Histories.from_rows([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 3], [3, 0]], 6)
    ranks = tie_ranks(6)
    tied = sorted((1, 2, 4, 5), key=lambda item: ranks[item])
    assert swing_neighbours(histories, top_k=5).ids[0].tolist() == [3, *tied]
    assert swing_neighbours(histories, top_k=3).ids[0].tolist() == [3, *tied[:2]]


def test_top_k_are_the_first_of_all():
    histories = random_log(3, n_users=200, n_items=100, mean=12.0)
    every, best = swing_neighbours(histories, top_k=150), swing_neighbours(histories, top_k=7)
    assert every.ids.shape == (102, 150) and (every.ids[:, 101:] == EMPTY).all()
    assert best.ids.tolist() == every.ids[:, :7].tolist()
    assert best.scores.tobytes() == every.top(7).scores.tobytes()


def test_normalise_divides_each_row_by_its_best():
    histories = random_log(4)
    raw, normalised = swing_neighbours(histories), swing_neighbours(histories, normalise=True)
    best = raw.scores[:, :1]
    np.testing.assert_allclose(normalised.scores * best, raw.scores, rtol=1e-6)
    assert set(normalised.scores[:, 0].tolist()) == {0.0, 1.0}
    assert normalised.ids.tobytes() == raw.ids.tobytes()


@pytest.mark.parametrize("options", [{}, {"max_item_users": 10}])
def test_the_same_bytes_with_any_number_of_threads(monkeypatch, options):
    monkeypatch.setattr(slices, "COST_PER_SLICE", 50)  # many slices, which end in any order
    histories = random_log(5, n_users=300, n_items=80, mean=10.0, weighted=True)
    results = set()
    for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(threads)
        neighbours = swing_neighbours(histories, **options)
        results.add(neighbours.ids.tobytes() + neighbours.scores.tobytes())
    assert len(results) == 1


def test_the_order_of_users_and_of_a_history_does_not_matter():
    histories = random_log(6, n_users=200, n_items=60, mean=9.0)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(histories.row(u)).tolist() for u in rng.permutation(histories.n_users)]
    shuffled = swing_neighbours(Histories.from_rows(rows, histories.n_items))
    neighbours = swing_neighbours(histories)
    assert shuffled.ids.tolist() == neighbours.ids.tolist()
    np.testing.assert_allclose(shuffled.scores, neighbours.scores, rtol=1e-6)


def test_progress_ends_at_the_total(monkeypatch):
    monkeypatch.setattr(slices, "COST_PER_SLICE", 50)
    seen = []
    rank_rows(swing_rows(random_log(7, n_users=100), top_k=9), lambda done, total: seen.append((done, total)))
    assert len(seen) > 10
    assert seen == sorted(seen) and len({total for _, total in seen}) == 1
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"user_weight": "none"}, "user weight 'none' is not one, sqrt or A:B"),
        ({"user_weight": "5:-0.35"}, "user weight '5:-0.35' is not one, sqrt or A:B"),
        ({"user_weight": "1:2:3"}, "user weight '1:2:3' is not one, sqrt or A:B"),
        ({"user_weight": "nan:1"}, "user weight 'nan:1' is not one, sqrt or A:B"),
        ({"smoothing": -1.0}, "smoothing must be a number of at least 0, not -1.0"),
        ({"smoothing": float("nan")}, "smoothing must be a number of at least 0, not nan"),
        ({"top_k": 0}, "top-k must be at least 1, not 0"),
        ({"max_user_items": -1}, "max-user-items and max-item-users must be at least 0"),
        ({"max_item_users": -1}, "max-user-items and max-item-users must be at least 0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UsageError, match=message):
        swing_neighbours(random_log(0), **options)


@pytest.mark.parametrize("rule, expected", [("one", 1), ("sqrt", 4**-0.5), ("15:0.3", 19**-0.3), ("0:1", 1 / 4)])
def test_user_weights(rule, expected):
    np.testing.assert_allclose(swing.user_weights(rule, np.array([4])), [expected])
