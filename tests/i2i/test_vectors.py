"""Powers of cosines against plain NumPy, of the user's vectors and of the generator's."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.model_options import EmbeddingOptions, VectorsOptions
from llmi2i_cli.i2i import embedding, vectors
from llmi2i_cli.i2i.neighbours import tie_ranks
from llmi2i_cli.i2i.training import Job


class Trained:
    """A generator that has these vectors of items, and no use for states."""

    def __init__(self, item_vectors: np.ndarray) -> None:
        self._item_vectors = item_vectors

    def item_vectors(self) -> np.ndarray:
        return self._item_vectors

    def states_after_each(self) -> np.ndarray:
        raise AssertionError("the vectors are enough")


def some_vectors() -> np.ndarray:
    found = np.random.default_rng(3).normal(size=(12, 5)).astype(np.float32)
    found[4] = 0
    found[7] = 3 * found[2]  # the same direction: a tie
    return found


def job(n_items: int, **given) -> Job:
    return Job(Histories.from_rows([], n_items), top_k=n_items, **given)


def neighbours_of(source: str, item_vectors: np.ndarray, power: float):
    if source == "vectors":
        return vectors.train(job(len(item_vectors), vectors=item_vectors), VectorsOptions(power=power)).neighbours
    return embedding.train(
        job(len(item_vectors), generator=Trained(item_vectors)), EmbeddingOptions(power=power)
    ).neighbours


@pytest.mark.parametrize("source", ["vectors", "embedding"])
@pytest.mark.parametrize("power", [1.0, 3.0])
def test_scores_are_powers_of_the_positive_cosines(source, power):
    given = some_vectors()
    found = neighbours_of(source, given, power)
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    cosines = np.round((given / np.where(lengths, lengths, 1)) @ given.T / np.where(lengths, lengths, 1).T, 6)
    ranks = tie_ranks(12)
    for item in range(12):
        others = [other for other in range(12) if other != item and cosines[item, other] > 0]
        expected = sorted(others, key=lambda other: (-cosines[item, other], ranks[other]))
        assert found.ids[item, : len(expected)].tolist() == expected
        assert (found.ids[item, len(expected) :] == -1).all()
        assert found.scores[item, : len(expected)] == pytest.approx(cosines[item, expected] ** power, abs=1e-5)
        assert (found.scores[item, len(expected) :] == 0).all()
    assert (found.ids[4] == -1).all()
    assert not (found.ids == 4).any()


def test_a_neighbour_keeps_a_score_however_high_the_power():
    found = neighbours_of("vectors", np.array([[1, 0], [1e-3, 1], [1, 0.1]], np.float32), 64.0)
    assert found.ids[0].tolist() == [2, 1, -1]
    assert (found.scores[0, :2] > 0).all()
