"""What the discriminator learns from: positions of histories, and at each of them candidates marked observed or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.features import CandidateRows, Describe, Features
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.llm.generate import Generator, rank_users

HISTORY = 10  # interactions shown before a candidate, as in `synthesize`
LIST_LENGTH = 30  # candidates of a generator a user, as in `synthesize`
POSITIONS_PER_USER = 4  # latest positions that are judged when negatives are drawn at random


@dataclass(frozen=True)
class Positions:
    """At each of P positions of a history, candidates with labels and features; C candidates in all.

    Attributes
    ----------
    users : int64 (P,), whose history it is
    contexts : the history before each position, one row per position
    candidate_ptr : int64 (P + 1,); position p has the candidates candidate_ptr[p] .. candidate_ptr[p + 1] - 1
    candidates : int32 (C,)
    labels : bool (C,), True = observed
    features : of the C candidates
    """

    users: NDArray[np.int64]
    contexts: Histories
    candidate_ptr: NDArray[np.int64]
    candidates: NDArray[np.int32]
    labels: NDArray[np.bool_]
    features: Features

    def rows(self, position: int) -> slice:
        return slice(int(self.candidate_ptr[position]), int(self.candidate_ptr[position + 1]))

    def save(self, path: Path) -> None:
        """Write as .npz."""
        contexts, features = self.contexts, self.features
        own: dict[str, Any] = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        np.savez(
            path,
            context_ptr=contexts.ptr,
            context_items=contexts.items,
            n_items=contexts.n_items,
            feature_names=np.array(features.names, str),
            feature_values=features.values,
            **own,
        )

    @classmethod
    def load(cls, path: Path) -> Positions:
        """Read what `save` wrote."""
        with np.load(path) as found:
            arrays = {name: found[name] for name in found.files}
        contexts = Histories(arrays.pop("context_ptr"), arrays.pop("context_items"), int(arrays.pop("n_items")))
        features = Features(tuple(arrays.pop("feature_names").tolist()), arrays.pop("feature_values"))
        return cls(contexts=contexts, features=features, **arrays)


def hold_back_last(histories: Histories) -> tuple[Histories, NDArray[np.int64], NDArray[np.int32]]:
    """The histories one step back: without the last item of each user who has two or more.

    Returns
    -------
    past : the shortened histories, the same users
    users : int64 (n,), the users who lost an item
    items : int32 (n,), the item that each of them lost
    """
    users = np.flatnonzero(histories.lengths >= 2)
    last = histories.ptr[users + 1] - 1
    stays = np.ones(len(histories.items), bool)
    stays[last] = False
    return histories.where(stays), users, histories.items[last]


def positions_of_generator(
    generator: Generator,
    past: Histories,
    users: NDArray[np.int64],
    observed: Histories,
    describe: Describe,
    *,
    negatives_per_positive: int,
    seed: int,
    on_block: Callable[[], None] = lambda: None,
) -> Positions:
    """What was observed next against the rest of the generator's list, for the users whose list holds it.

    Parameters
    ----------
    past : what the generator has been trained on, and continues
    users : rows of `past` that are asked
    observed : the next items of every user; none of them may have been in the generator's training
    negatives_per_positive : how many other candidates of the list are drawn; `LIST_LENGTH` or more takes all
    """
    blocks = []
    for block in rank_users(generator, users, past, past, history=HISTORY, top_n=LIST_LENGTH):
        blocks.append(block)
        on_block()
    listed = np.concatenate([items for items, _ in blocks]) if blocks else np.zeros((0, LIST_LENGTH), np.int32)
    logprobs = np.concatenate([scores for _, scores in blocks]) if blocks else np.zeros((0, LIST_LENGTH), np.float32)
    labels = _owned(observed, np.broadcast_to(users[:, None], listed.shape), listed)
    hit = np.flatnonzero(labels.any(axis=1))
    users, listed, logprobs, labels = users[hit], listed[hit], logprobs[hit], labels[hit]
    rng = np.random.default_rng(seed)
    lottery = np.where(labels, -1.0, rng.random(labels.shape))  # what was observed is always drawn
    lottery[listed < 0] = np.inf
    drawn = np.argsort(np.argsort(lottery, axis=1, kind="stable"), axis=1) < (
        labels.sum(axis=1, keepdims=True) + negatives_per_positive
    )
    drawn &= listed >= 0
    ranks = np.broadcast_to(np.arange(1, LIST_LENGTH + 1), listed.shape)
    contexts = past.take(users)
    position = np.repeat(np.arange(len(users)), drawn.sum(axis=1))
    rows = CandidateRows(contexts, position, users[position], listed[drawn], logprobs[drawn], ranks[drawn])
    return Positions(users, contexts, _pointers(drawn), rows.items, labels[drawn], describe(rows))


def positions_at_random(
    histories: Histories,
    negatives: Literal["uniform", "popularity"],
    describe: Describe,
    *,
    negatives_per_positive: int,
    seed: int,
) -> Positions:
    """Each user's latest items against items of the catalogue, drawn uniformly (eq. 3) or by popularity."""
    per_user = np.clip(histories.lengths - 1, 0, POSITIONS_PER_USER)  # before the first item there is no history
    users = np.repeat(np.arange(histories.n_users), per_user)
    steps_back = np.arange(len(users)) - np.repeat(np.cumsum(per_user) - per_user, per_user)  # 0 = the last item
    place = histories.ptr[users + 1] - 1 - steps_back  # of the observed item
    contexts = histories.before(place, HISTORY)

    rng = np.random.default_rng(seed)
    shape = (len(users), negatives_per_positive)
    if negatives == "uniform":
        others = rng.integers(0, histories.n_items, shape).astype(np.int32)
    else:
        others = rng.choice(histories.items, shape)  # an interaction at random is an item by its popularity
    candidates = np.concatenate([histories.items[place][:, None], others], axis=1)
    labels = np.zeros(candidates.shape, bool)
    labels[:, 0] = True
    usable = labels | ~_owned(histories, np.broadcast_to(users[:, None], candidates.shape), candidates)
    position = np.repeat(np.arange(len(users)), usable.sum(axis=1))
    rows = CandidateRows(contexts, position, users[position], candidates[usable])
    return Positions(users, contexts, _pointers(usable), rows.items, labels[usable], describe(rows))


def positions_held_back(
    past: Histories,
    users: NDArray[np.int64],
    items: NDArray[np.int32],
    describe: Describe,
    *,
    negatives_per_positive: int,
    seed: int,
) -> Positions:
    """Each user's held-back item against items of the catalogue, drawn uniformly; the generator is not asked.

    With these among its examples a discriminator can also judge what no generator proposed: the real log.
    """
    rng = np.random.default_rng(seed)
    others = rng.integers(0, past.n_items, (len(users), negatives_per_positive)).astype(np.int32)
    candidates = np.concatenate([items[:, None], others], axis=1)
    labels = np.zeros(candidates.shape, bool)
    labels[:, 0] = True
    owned = _owned(past, np.broadcast_to(users[:, None], candidates.shape), candidates)
    usable = labels | ~(owned | (candidates == items[:, None]))
    contexts = past.take(users)
    position = np.repeat(np.arange(len(users)), usable.sum(axis=1))
    rows = CandidateRows(contexts, position, users[position], candidates[usable])
    return Positions(users, contexts, _pointers(usable), rows.items, labels[usable], describe(rows))


def joined(first: Positions, second: Positions) -> Positions:
    """The positions of both."""
    contexts = Histories(
        np.concatenate([first.contexts.ptr, first.contexts.ptr[-1] + second.contexts.ptr[1:]]),
        np.concatenate([first.contexts.items, second.contexts.items]),
        first.contexts.n_items,
    )
    return Positions(
        np.concatenate([first.users, second.users]),
        contexts,
        np.concatenate([first.candidate_ptr, first.candidate_ptr[-1] + second.candidate_ptr[1:]]),
        np.concatenate([first.candidates, second.candidates]),
        np.concatenate([first.labels, second.labels]),
        Features(first.features.names, np.concatenate([first.features.values, second.features.values])),
    )


def _owned(histories: Histories, users: NDArray[np.integer], items: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each (user, item) is in `histories`, the shape of `items`; -1 is in none."""
    keys = histories.user_of_each().astype(np.int64) * histories.n_items + histories.items
    return np.isin(users.astype(np.int64) * histories.n_items + items, keys) & (items >= 0)


def _pointers(drawn: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(drawn.sum(axis=1))]).astype(np.int64)
