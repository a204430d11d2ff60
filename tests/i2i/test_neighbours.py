import numpy as np
import pytest
from numba import njit

from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours, ranking_key, tie_rank_of_key, tie_ranks


@njit
def keys_of(scores, ranks):
    return np.array([ranking_key(scores[n], ranks[n]) for n in range(len(scores))])


@njit
def ranks_of(keys):
    return np.array([tie_rank_of_key(key) for key in keys])


def test_keys_sort_like_scores_that_differ():
    scores = np.array(
        [-np.float32(3e38), -7.5, -1.00001, -1, -1e-30, 0, 1e-30, 1e-6, 1, 1.00001, 2.5, 3e38], np.float32
    )
    keys = keys_of(scores, np.arange(len(scores)))
    assert (keys[1:] > keys[:-1]).all()


@pytest.mark.parametrize("score", [1e-20, 0.3, 1.0, 1234.5, -0.3])
def test_scores_equal_to_a_millionth_part_are_ordered_by_rank(score):
    # Multiples of 2**-19 are centres of the rounding, so a quarter of the step to either side rounds alike.
    centre = np.ldexp(np.round(np.ldexp(np.frexp(score)[0], 20)), np.frexp(score)[1] - 20)
    keys = keys_of(np.array([centre, centre * (1 + 4e-7), centre * (1 - 4e-7), centre]), np.array([3, 1, 2, 0]))
    assert np.argsort(-keys.astype(np.float64), kind="stable").shape == (4,)
    assert sorted(range(4), key=lambda n: int(keys[n]), reverse=True) == [3, 1, 2, 0]


def test_rounding_is_no_coarser_than_four_millionths():
    scores = np.array([1.0, 1 + 4e-6, 1 + 8e-6, 1 + 12e-6])
    assert len(set(keys_of(scores, np.zeros(4, np.int64)) >> np.uint64(32))) == 4


def test_minus_zero_is_zero():
    keys = keys_of(np.array([0.0, -0.0], np.float32), np.array([5, 5]))
    assert keys[0] == keys[1]


def test_the_rank_is_read_back_from_the_key():
    ranks = np.array([0, 1, 77, 2**31 - 1])
    assert ranks_of(keys_of(np.array([0.5, -3, 0, 1e9]), ranks)).tolist() == ranks.tolist()


def test_tie_ranks_are_a_permutation_that_a_seed_fixes():
    ranks = tie_ranks(1000)
    assert ranks.dtype == np.int32 and sorted(ranks) == list(range(1000))
    assert ranks.tobytes() == tie_ranks(1000).tobytes() != tie_ranks(1000, seed=43).tobytes()
    assert tie_ranks(0).shape == (0,)


def test_empty_and_top():
    empty = Neighbours.empty(2, 3)
    assert (empty.n_items, empty.k) == (2, 3)
    assert empty.ids.tolist() == [[EMPTY] * 3] * 2 and empty.scores.tolist() == [[0.0] * 3] * 2
    assert (empty.ids.dtype, empty.scores.dtype) == (np.int32, np.float32)
    neighbours = Neighbours(np.array([[2, 1, 0]], np.int32), np.array([[3, 2, 1]], np.float32))
    assert neighbours.top(2).ids.tolist() == [[2, 1]] and neighbours.top(2).scores.tolist() == [[3, 2]]
    assert neighbours.top(2).ids.flags.c_contiguous


def test_blocks_are_views_of_all_rows():
    neighbours = Neighbours(np.arange(10, dtype=np.int32).reshape(5, 2), np.ones((5, 2), np.float32))
    blocks = list(neighbours.blocks(2))
    assert [items for items, _ in blocks] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert [block.ids.tolist() for _, block in blocks] == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9]]]
    assert all(np.shares_memory(block.scores, neighbours.scores) for _, block in blocks)
    assert list(Neighbours.empty(0, 2).blocks(2)) == []
