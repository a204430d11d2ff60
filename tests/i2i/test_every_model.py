"""The contract that every model passes, whatever its algorithm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.models import MODELS, parts_of
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.training import Job, train

Model = Callable[[Histories, int], Neighbours]


# What a model needs to learn two small worlds; the others are as by default.
QUICK: dict[str, dict[str, float]] = {
    "bpr": {"factors": 8, "iterations": 200},
    "youtubednn": {"dimensions": 16, "negatives": 6, "batch_size": 16, "epochs": 25, "learning_rate": 0.01},
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    name = request.param
    options = MODELS[name].complete(QUICK.get(name, {}))

    def trained(histories: Histories, top_k: int) -> Neighbours:
        vectors = vectors_of(histories)
        job = Job(
            histories, top_k=top_k, texts=texts_of(histories), vectors=vectors, generator=GeneratorOfWorlds(vectors)
        )
        parts = [train(part, job, MODELS[part].complete({})).neighbours for part, _ in parts_of(name, options, "real")]
        return train(name, replace(job, parts=parts), options).neighbours

    return trained


def texts_of(histories: Histories) -> list[str | None]:
    """What the catalogue says of the two worlds; nothing of items that nobody has, and no word twice without worlds."""
    bought, worlds = histories.item_counts() > 0, histories.n_items == 12
    words = [("red lamp", "blue chair")[item // 5 % 2] if worlds else f"item{item}" for item in range(len(bought))]
    return [word if has else None for word, has in zip(words, bought, strict=True)]


def vectors_of(histories: Histories) -> NDArray[np.float32]:
    """A direction for each of the two worlds, none for items that nobody has; without worlds one for each item."""
    bought, worlds = histories.item_counts() > 0, histories.n_items == 12
    items = np.arange(len(bought))
    vectors = np.zeros((len(bought), len(bought)), np.float32)
    vectors[items, items // 5 % 2 if worlds else items] = bought
    return vectors


@dataclass(frozen=True)
class GeneratorOfWorlds:
    """It expects the items of the same world next; after an item that nobody has, any item."""

    vectors: NDArray[np.float32]

    def item_vectors(self) -> NDArray[np.float32]:
        return self.vectors

    def states_after_each(self) -> NDArray[np.float32]:
        return 5 * self.vectors


def two_worlds(n_users: int = 60) -> Histories:
    """Every user buys eight times from one of two worlds, the items 0-4 or 5-9. Items 10 and 11 are nobody's."""
    rng = np.random.default_rng(0)
    return Histories.from_rows([(5 * (user % 2) + rng.integers(0, 5, 8)).tolist() for user in range(n_users)], 12)


def check_form(neighbours: Neighbours, n_items: int, top_k: int) -> None:
    """What holds for every result: shapes, types, order, padding, no item its own or twice another's neighbour."""
    assert neighbours.ids.shape == neighbours.scores.shape == (n_items, top_k)
    assert (neighbours.ids.dtype, neighbours.scores.dtype) == (np.int32, np.float32)
    for item in range(n_items):
        filled = int((neighbours.ids[item] >= 0).sum())
        ids, scores = neighbours.ids[item, :filled], neighbours.scores[item, :filled]
        assert (neighbours.ids[item, filled:] == -1).all()
        assert (neighbours.scores[item, filled:] == 0).all()
        assert len(set(ids.tolist()) | {item}) == filled + 1
        assert (ids < n_items).all()
        assert (scores > 0).all()
        assert (scores[:-1] >= scores[1:] * (1 - 2e-6)).all()  # to the tolerance of ties


def check_worlds(neighbours: Neighbours) -> None:
    """The four neighbours of an item are the others of its world."""
    for item in range(10):
        world = range(5) if item < 5 else range(5, 10)
        assert set(neighbours.ids[item].tolist()) == set(world) - {item}


def test_known_answer(model: Model):
    neighbours = model(two_worlds(), 4)
    check_form(neighbours, 12, 4)
    check_worlds(neighbours)


def test_items_without_interactions_have_no_neighbours_and_are_nobodys(model: Model):
    neighbours = model(two_worlds(), 12)
    check_form(neighbours, 12, 12)
    assert (neighbours.ids[10:] == -1).all()
    assert not np.isin(neighbours.ids, (10, 11)).any()


def test_users_with_nothing_or_one_item_change_no_structure(model: Model):
    log = two_worlds()
    rows = [log.row(user).tolist() for user in range(log.n_users)]
    neighbours = model(Histories.from_rows([[], *rows[:30], [3], [], *rows[30:], [7], []], 12), 4)
    check_form(neighbours, 12, 4)
    check_worlds(neighbours)


def test_duplicate_interactions_are_no_neighbours_of_themselves(model: Model):
    log = two_worlds()
    rows = [[*log.row(user).tolist(), *log.row(user).tolist()[:2]] for user in range(log.n_users)]
    neighbours = model(Histories.from_rows(rows, 12), 4)
    check_form(neighbours, 12, 4)
    check_worlds(neighbours)


@pytest.mark.parametrize(
    "rows, n_items",
    [([], 3), ([[]], 3), ([[], []], 1), ([[0]], 1), ([[0, 0, 0]], 1), ([[1], [2]], 3)],
    ids=["no users", "an empty user", "nothing", "a catalogue of one", "one item, repeated", "single items"],
)
def test_logs_without_structure_give_a_result_of_the_same_form(model: Model, rows: list[list[int]], n_items: int):
    check_form(model(Histories.from_rows(rows, n_items), 5), n_items, 5)


def test_two_runs_give_the_same_bytes(model: Model):
    first, second = model(two_worlds(), 4), model(two_worlds(), 4)
    assert first.ids.tobytes() == second.ids.tobytes()
    assert first.scores.tobytes() == second.scores.tobytes()
