"""What everything is tuned by: Recall@10 on the validation split, at the best number M of recent items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import read_histories
from llmi2i_cli.evaluation.metrics import distinct_items, per_user_metrics, rank_of_targets
from llmi2i_cli.evaluation.retrieve import retrieve
from llmi2i_cli.i2i.neighbours import Neighbours

RECENT_GRID = (1, 2, 3, 5, 10, 20, 50, 100)
RECENT_WITHOUT_VALIDATION = 100
DECAY_GRID = (1.0, 0.9, 0.8, 0.7, 0.5)
CUT_OFF = 10
SAMPLED_USERS = 10_000  # a fixed sample is asked where a language model answers; more would cost more than they tell

T = TypeVar("T")


@dataclass(frozen=True)
class HeldOut:
    """Users with something held out: what is known of them and what they do next.

    Attributes
    ----------
    users : int64 (n,), rows of ``prepare/users.parquet``
    queries : their earlier interactions, oldest first
    targets : their held-out items, each once
    """

    users: NDArray[np.int64]
    queries: Histories
    targets: Histories

    def sample(self, limit: int = SAMPLED_USERS) -> HeldOut:
        """At most `limit` of the users who have a query, the same ones each time."""
        places = np.flatnonzero(self.queries.lengths)
        if len(places) > limit:
            places = np.sort(np.random.default_rng(0).choice(places, limit, replace=False))
        return HeldOut(self.users[places], self.queries.take(places), self.targets.take(places))


def read_held_out(workdir: Path, split: str) -> HeldOut:
    """Queries and targets of a split: train -> valid, or train and valid -> test."""
    queries = read_histories(workdir, ("train",) if split == "valid" else ("train", "valid"))
    targets = distinct_items(read_histories(workdir, (split,)))
    users = np.flatnonzero(targets.lengths)
    return HeldOut(users, queries.take(users), targets.take(users))


def recall_at_10(ids: NDArray[np.int32], held_out: HeldOut, *, relevant: NDArray[np.bool_] | None = None) -> float:
    """Mean Recall@10 of rankings `ids` (n, at least 10); with `relevant`, bool (n_items,), of those targets alone."""
    ranks = rank_of_targets(ids, held_out.targets)
    metrics = per_user_metrics(ranks, held_out.targets, ks=(CUT_OFF,), relevant=relevant)
    return metrics.means()[f"recall@{CUT_OFF}"]


def recall_by_recent(
    neighbours: Neighbours,
    held_out: HeldOut,
    *,
    exclude_seen: bool = True,
    decay: float = 1.0,
    recents: Sequence[int] = RECENT_GRID,
) -> dict[int, float]:
    """Recall@10 for every M of `recents`; `decay` as in `retrieve`."""

    def recall(recent: int) -> float:
        queries = held_out.queries
        exclude = queries if exclude_seen else None
        found = retrieve(neighbours, queries, recent=recent, top_n=CUT_OFF, exclude=exclude, decay=decay)
        return recall_at_10(found.ids, held_out)

    return {recent: recall(recent) for recent in recents}


def best_recent(recalls: Mapping[int, float]) -> int:
    """The M of the largest recall; the smallest such M."""
    return max(recalls, key=lambda recent: (recalls[recent], -recent))


def best_decay(recalls: Mapping[float, float]) -> float:
    """The decay of the largest recall; the largest such decay."""
    return max(recalls, key=lambda decay: (recalls[decay], decay))


def choose(
    name: str,
    given: T | None,
    recalls: Callable[[], Mapping[T, float]] | None,
    best: Callable[[Mapping[T, float]], T],
    default: T,
    chosen_by: str,
) -> tuple[T, dict[str, Any]]:
    """A setting as asked for, else the best on validation, else the default; and what a protocol says of it.

    Parameters
    ----------
    given : what was asked for; None leaves the choice open
    recalls : gives validation Recall@10 by value of the setting; None without a validation split
    best : chooses among them
    chosen_by : what the protocol calls a choice on validation
    """
    tried: dict[str, Any] = {}
    if given is not None:
        value, how = given, "the option"
    elif recalls is None:
        value, how = default, "default without a validation split"
    else:
        by_value = recalls()
        value, how = best(by_value), chosen_by
        tried = {f"validation_recall@10_by_{name}": {str(each): recall for each, recall in by_value.items()}}
    return value, {name: value, f"{name}_chosen_by": how, **tried}
