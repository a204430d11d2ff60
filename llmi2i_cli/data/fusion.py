"""Joining kept candidates to the real log.

Two strategies (`choices.strategies`):

``append``
    the paper's: a user's synthetic items follow that user's history.
``pseudo-user``
    the real log stays untouched, and every user with kept candidates gets a second, pseudo user: a copy of the history
    with the synthetic items behind it. For a co-occurrence model the real evidence is then never diluted, and what the
    LLM adds counts as one more user who bought the same things.

A strategy lays out a `Plan` of the fused log's rows. The arrays that tuning trains on and the table that is written
(`fused_table`) are both made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.strategies import STRATEGIES

Order = Literal["rank", "confidence", "random"]
Weight = Literal["one", "confidence"]
ORDERS: tuple[Order, ...] = ("rank", "confidence", "random")
WEIGHTS: tuple[Weight, ...] = ("one", "confidence")
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
    `min_confidence` is None, the filter's `keep` decides. They weigh 1, or their confidence. A pseudo user copies the
    `copied_history` most recent real interactions, all of them where it is None. The share `drop_real` of the real
    interactions is left out, the least confident first.
    """

    strategy: str
    order: Order
    recall_number: int
    min_confidence: float | None
    copied_history: int | None = None
    weight: Weight = "one"
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


def weights_of(candidates: Candidates, chosen: NDArray[np.int64], rule: Weight) -> NDArray[np.float32]:
    """How much each chosen candidate counts, float32 (n_chosen,)."""
    return candidates.confidences[chosen] if rule == "confidence" else np.ones(len(chosen), np.float32)


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


@dataclass(frozen=True)
class Parts:
    """What a strategy lays out.

    Attributes
    ----------
    real : the real log
    users : int64 (n_chosen,), the user of each chosen candidate, non-decreasing
    """

    real: Histories
    users: NDArray[np.int64]


SOURCES = ("real", "copied", "synthetic")
REAL, COPIED, SYNTHETIC = range(3)


@dataclass(frozen=True)
class Plan:
    """The rows of a fused log, in their order.

    Attributes
    ----------
    users : int64 (n,), the fused log's user of each row, non-decreasing; the first are the users of the real log
    rows : int64 (n,), the interaction of the real log or, where `sources` is SYNTHETIC, the chosen candidate
    sources : int8 (n,), REAL, COPIED or SYNTHETIC
    origins : int64 (n_fused_users,), the real user that each user of the fused log is or stands for
    """

    users: NDArray[np.int64]
    rows: NDArray[np.int64]
    sources: NDArray[np.int8]
    origins: NDArray[np.int64]

    def counts(self) -> dict[str, int]:
        """Rows of each source that occurs."""
        counts = np.bincount(self.sources, minlength=len(SOURCES)).tolist()
        return {name: n for name, n in zip(SOURCES, counts, strict=True) if n}

    def pick(self, of_real: NDArray, of_candidates: NDArray, part: slice = slice(None)) -> NDArray:
        """What each row has of two arrays: one by interactions of the real log, one by chosen candidates."""
        rows, synthetic = self.rows[part], self.sources[part] == SYNTHETIC
        picked = np.empty(len(rows), of_real.dtype)
        picked[~synthetic] = of_real[rows[~synthetic]]
        picked[synthetic] = of_candidates[rows[synthetic]]
        return picked

    @classmethod
    def of(cls, parts: list[tuple[NDArray[np.int64], NDArray[np.int64], int]], origins: NDArray[np.int64]) -> Plan:
        """From (users, rows, source) of several parts, which follow each other within a user."""
        users = np.concatenate([users for users, _, _ in parts])
        rows = np.concatenate([rows for _, rows, _ in parts])
        sources = np.concatenate([np.full(len(rows), source, np.int8) for _, rows, source in parts])
        order = np.argsort(users, kind="stable")
        return cls(users[order], rows[order], sources[order], origins)


def append(parts: Parts, choice: Choice) -> Plan:
    """A user's candidates behind the user's own history."""
    own = parts.real.user_of_each().astype(np.int64)
    rows = [(own, np.arange(len(own)), REAL), (parts.users, np.arange(len(parts.users)), SYNTHETIC)]
    return Plan.of(rows, np.arange(parts.real.n_users))


def pseudo_user(parts: Parts, choice: Choice) -> Plan:
    """The real users as they are, and behind them one more for each user with candidates, in the same order."""
    real, own = parts.real, parts.real.user_of_each().astype(np.int64)
    with_candidates = np.bincount(parts.users, minlength=real.n_users) > 0
    pseudo = np.cumsum(with_candidates) - 1 + real.n_users  # of each user, where there is one
    copied = with_candidates[own]
    if choice.copied_history is not None:
        to_the_end = real.ptr[own + 1] - np.arange(len(own))  # 1 = the user's latest
        copied &= to_the_end <= choice.copied_history
    rows = [
        (own, np.arange(len(own)), REAL),
        (pseudo[own[copied]], np.flatnonzero(copied), COPIED),
        (pseudo[parts.users], np.arange(len(parts.users)), SYNTHETIC),
    ]
    return Plan.of(rows, np.concatenate([np.arange(real.n_users), np.flatnonzero(with_candidates)]))


def plan_of(real: Histories, candidates: Candidates, chosen: NDArray[np.int64], choice: Choice) -> Plan:
    """The rows of the fused log by the strategy of `choice`; `chosen` are the rows of the chosen candidates."""
    plan: Plan = load(STRATEGIES[choice.strategy].plan)(Parts(real, candidates.users[chosen]), choice)
    return plan


def fuse_histories(real: Histories, candidates: Candidates, chosen: NDArray[np.int64], choice: Choice) -> Histories:
    """The fused log as arrays, a row for each user of the plan."""
    plan = plan_of(real, candidates, chosen, choice)
    ptr = np.zeros(len(plan.origins) + 1, np.int64)
    np.cumsum(np.bincount(plan.users, minlength=len(plan.origins)), out=ptr[1:])
    ones = np.ones(len(real.items), np.float32)
    weights = plan.pick(ones, weights_of(candidates, chosen, choice.weight))
    return Histories(ptr, plan.pick(real.items, candidates.items[chosen]), real.n_items, weights)
