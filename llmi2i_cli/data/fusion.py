"""Joining kept candidates to the real log.

Two strategies (`choices.strategies`):

``append``
    the paper's: a user's synthetic items follow that user's history.
``pseudo-user``
    the real log stays untouched, and every user with kept candidates gets a second, pseudo user: a copy of the history
    with the synthetic items behind it. For a co-occurrence model the real evidence is then never diluted, and what the
    LLM adds counts as one more user who bought the same things.

A strategy lays out a `Plan` of the fused log: its users, and what each of them has. The arrays that tuning trains on
and the table that is written (`fused_table`) are both made from it, the table some users at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.strategies import STRATEGIES

SEED = 42  # of the random order


@dataclass(frozen=True)
class Candidates:
    """Scored candidates of all users, grouped by user, in rank order within a user.

    Attributes
    ----------
    users : int64 (n,), non-decreasing
    items : int32 (n,)
    ranks : int32 (n,), the generator's order, from 1
    confidences : float32 (n,), P(Yes)
    keep : bool (n,), the filter's own mark
    """

    users: NDArray[np.int64]
    items: NDArray[np.int32]
    ranks: NDArray[np.int32]
    confidences: NDArray[np.float32]
    keep: NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """What is fused, and how.

    A user's candidates are put in `order` (the generator's, the discriminator's, or a seeded random one as a control),
    the first `recall_number` of them are taken, and of these the ones with at least `min_confidence`; where
    `min_confidence` is None, the filter's `keep` decides. They weigh 1, or their confidence, see `weights_of`. A pseudo
    user copies the `copied_history` most recent real interactions, all of them where it is None. The share `drop_real`
    of the real interactions is left out, the least confident first.
    """

    strategy: str
    order: str
    recall_number: int
    min_confidence: float | None
    copied_history: int | None = None
    weight: str = "one"
    drop_real: float = 0.0


def select(candidates: Candidates, choice: Choice) -> NDArray[np.int64]:
    """Rows of the chosen candidates, users in order and rank order within a user, int64 (n_chosen,)."""
    n_rows = len(candidates.users)
    if choice.min_confidence is None:
        kept = candidates.keep
    else:
        kept = candidates.confidences >= np.float32(choice.min_confidence)
    if choice.order == "rank":
        return np.flatnonzero(kept & (candidates.ranks <= choice.recall_number))
    keys = -candidates.confidences if choice.order == "confidence" else np.random.default_rng(SEED).random(n_rows)
    in_order = np.lexsort((candidates.ranks, keys, candidates.users))
    place = np.empty(n_rows, np.int64)  # of a candidate among its user's, from 0
    first = np.searchsorted(candidates.users, candidates.users)  # start of each row's user
    place[in_order] = np.arange(n_rows) - first[in_order]
    return np.flatnonzero(kept & (place < choice.recall_number))


def weights_of(real: Histories, candidates: Candidates, chosen: NDArray[np.int64], rule: str) -> NDArray[np.float32]:
    """How much each chosen candidate counts, float32 (n_chosen,): 1 or its confidence, times the mean weight of the
    user's own interactions, where these have weights. So it says as much as what it continues.
    """
    shares = candidates.confidences[chosen] if rule == "confidence" else np.ones(len(chosen), np.float32)
    if real.weights is None:
        return shares
    sums = np.bincount(real.user_of_each(), real.weights, minlength=real.n_users)
    return (shares * (sums / np.maximum(real.lengths, 1))[candidates.users[chosen]]).astype(np.float32)


def without_noise(real: Histories, confidences: NDArray[np.float32], drop_real: float) -> NDArray[np.bool_]:
    """Which interactions `Choice.drop_real` leaves, bool (n_interactions,).

    Parameters
    ----------
    confidences : float32 (n_interactions,). Of equal ones the first goes first; a user's only interaction stays, for
        nothing is known that could speak against it
    """
    doubted = np.flatnonzero(real.lengths[real.user_of_each()] > 1)
    least = doubted[np.argsort(confidences[doubted], kind="stable")][: round(drop_real * len(real.items))]
    left = np.ones(len(real.items), bool)
    left[least] = False
    return left


SOURCES = ("real", "copied", "synthetic")
REAL, COPIED, SYNTHETIC = range(3)


@dataclass(frozen=True)
class Stretch:
    """Rows of one source that follow each other, of each of some users.

    Attributes
    ----------
    source : REAL, COPIED or SYNTHETIC
    starts, ends : int64 (n_users,), a user's first one and the one after the last, among the interactions of the real
        log or, where `source` is SYNTHETIC, among the chosen candidates
    """

    source: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Users of the fused log.

    Attributes
    ----------
    origins : int64 (n_users,), the real user that each is or stands for
    stretches : what each of them has, one stretch behind the other
    """

    origins: NDArray[np.int64]
    stretches: Sequence[Stretch]

    def lengths(self) -> NDArray[np.int64]:
        """Rows of each user, int64 (n_users,)."""
        return np.sum([stretch.ends - stretch.starts for stretch in self.stretches], axis=0)

    def users(self, first: int, end: int) -> Group:
        """Some of the users."""
        part = slice(first, end)
        stretches = [Stretch(each.source, each.starts[part], each.ends[part]) for each in self.stretches]
        return Group(self.origins[part], stretches)

    def rows(self) -> Rows:
        """The rows of all users, one user's behind the other's."""
        starts = np.stack([stretch.starts for stretch in self.stretches], axis=1).ravel()
        counts = np.stack([stretch.ends - stretch.starts for stretch in self.stretches], axis=1).ravel()
        ends = np.cumsum(counts)
        places = np.repeat(starts - ends + counts, counts) + np.arange(ends[-1] if len(ends) else 0)
        sources = np.tile(np.array([stretch.source for stretch in self.stretches], np.int8), len(self.origins))
        return Rows(places, np.repeat(sources, counts))


@dataclass(frozen=True)
class Rows:
    """Rows of a fused log, in their order.

    Attributes
    ----------
    places : int64 (n,), the interaction of the real log or, where `sources` is SYNTHETIC, the chosen candidate
    sources : int8 (n,), REAL, COPIED or SYNTHETIC
    """

    places: NDArray[np.int64]
    sources: NDArray[np.int8]

    def pick(self, of_real: NDArray, of_candidates: NDArray) -> NDArray:
        """What each row has of two arrays: one by interactions of the real log, one by chosen candidates."""
        synthetic = self.sources == SYNTHETIC
        picked = np.empty(len(self.places), of_real.dtype)
        picked[~synthetic] = of_real[self.places[~synthetic]]
        picked[synthetic] = of_candidates[self.places[synthetic]]
        return picked


Plan = Sequence[Group]  # the users of a fused log in their order; the first group are those of the real log


def counts_of(plan: Plan) -> dict[str, int]:
    """Rows of each source that occurs."""
    counts = dict.fromkeys(SOURCES, 0)
    for group in plan:
        for stretch in group.stretches:
            counts[SOURCES[stretch.source]] += int((stretch.ends - stretch.starts).sum())
    return {name: n for name, n in counts.items() if n}


@dataclass(frozen=True)
class Parts:
    """What a strategy lays out.

    Attributes
    ----------
    real : the real log
    candidate_ptr : int64 (n_users + 1,), the chosen candidates of user u are ``candidate_ptr[u]`` to
        ``candidate_ptr[u + 1]``
    """

    real: Histories
    candidate_ptr: NDArray[np.int64]

    def history(self, users: NDArray[np.int64], source: int = REAL, most_recent: int | None = None) -> Stretch:
        """The users' real interactions, or the `most_recent` of each."""
        starts, ends = self.real.ptr[users], self.real.ptr[users + 1]
        return Stretch(source, starts if most_recent is None else np.maximum(starts, ends - most_recent), ends)

    def candidates(self, users: NDArray[np.int64]) -> Stretch:
        """The users' chosen candidates."""
        return Stretch(SYNTHETIC, self.candidate_ptr[users], self.candidate_ptr[users + 1])


def append(parts: Parts, choice: Choice) -> Plan:
    """A user's candidates behind the user's own history."""
    users = np.arange(parts.real.n_users)
    return [Group(users, [parts.history(users), parts.candidates(users)])]


def pseudo_user(parts: Parts, choice: Choice) -> Plan:
    """The real users as they are, and behind them one more for each user with candidates, in the same order."""
    users = np.arange(parts.real.n_users)
    some = np.flatnonzero(np.diff(parts.candidate_ptr))
    copies = parts.history(some, COPIED, choice.copied_history)
    return [Group(users, [parts.history(users)]), Group(some, [copies, parts.candidates(some)])]


def plan_of(real: Histories, candidates: Candidates, chosen: NDArray[np.int64], choice: Choice) -> Plan:
    """The fused log by the strategy of `choice`; `chosen` are the rows of the chosen candidates."""
    candidate_ptr = np.searchsorted(candidates.users[chosen], np.arange(real.n_users + 1))
    plan: Plan = load(STRATEGIES[choice.strategy].plan)(Parts(real, candidate_ptr), choice)
    return plan


def fuse_histories(real: Histories, candidates: Candidates, chosen: NDArray[np.int64], choice: Choice) -> Histories:
    """The fused log as arrays, a row for each user of the plan."""
    plan = plan_of(real, candidates, chosen, choice)
    ptr = np.concatenate([[0], np.cumsum(np.concatenate([group.lengths() for group in plan]))])
    candidate_items, candidate_weights = candidates.items[chosen], weights_of(real, candidates, chosen, choice.weight)
    rows, real_weights = [group.rows() for group in plan], real.weight_of_each()
    items = np.concatenate([some.pick(real.items, candidate_items) for some in rows])
    weights = np.concatenate([some.pick(real_weights, candidate_weights) for some in rows])
    return Histories(ptr, items, real.n_items, weights)
