"""What everything is tuned by: Recall@10 on the validation split, at the best number M of recent items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import read_histories, read_targets
from llmi2i_cli.evaluation.metrics import distinct_items, per_user_metrics, rank_of_targets
from llmi2i_cli.evaluation.retrieve import RankByLookups, rank_by_lookups
from llmi2i_cli.i2i.neighbours import Neighbours

RECENT_GRID = (1, 2, 3, 5, 10, 20, 50, 100)
DECAY_GRID = (1.0, 0.9, 0.8, 0.7, 0.5)
CUT_OFF = 10
SAMPLED_USERS = 10_000  # a fixed sample is asked where a language model answers; more would cost more than they tell


@dataclass(frozen=True)
class HeldOut:
    """Users with something held out: what is known of them and what they do next.

    Attributes
    ----------
    users : int64 (n,), rows of ``prepare/users.parquet``
    queries : their earlier interactions, oldest first
    targets : their held-out items, each once; what is not in the catalogue has an index behind it and counts
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
    targets = distinct_items(read_targets(workdir, split))
    users = np.flatnonzero(targets.lengths)
    return HeldOut(users, queries.take(users), targets.take(users))


def recall_at_10(ids: NDArray[np.int32], held_out: HeldOut, *, relevant: NDArray[np.bool_] | None = None) -> float:
    """Mean Recall@10 of rankings `ids` (n, at least 10); with `relevant`, bool (n_items,), of those targets alone."""
    ranks = rank_of_targets(ids, held_out.targets)
    metrics = per_user_metrics(ranks, held_out.targets, ks=(CUT_OFF,), relevant=relevant)
    return metrics.means()[f"recall@{CUT_OFF}"]


class Lookup(NamedTuple):
    """How an index is looked up: the M most recent items, the a-th of which (from 0) counts `decay` ** a."""

    recent: int
    decay: float


LOOKUP_WITHOUT_VALIDATION = Lookup(100, 1.0)  # the paper's


def recall_by_lookup(
    neighbours: Neighbours,
    held_out: HeldOut,
    *,
    exclude_seen: bool = True,
    recents: Sequence[int] = RECENT_GRID,
    decays: Sequence[float] = DECAY_GRID,
    rank: RankByLookups = rank_by_lookups,
) -> dict[Lookup, float]:
    """Recall@10 for every M of `recents` with every decay of `decays`; with a single item there is nothing to decay."""
    lookups = [Lookup(recent, decay) for decay in decays for recent in recents if recent > 1 or decay == decays[0]]
    found = rank(neighbours, held_out.queries, lookups, top_n=CUT_OFF, exclude_seen=exclude_seen)
    return {lookup: recall_at_10(each.ids, held_out) for lookup, each in zip(lookups, found, strict=True)}


def recall_by_recent(
    neighbours: Neighbours,
    held_out: HeldOut,
    *,
    exclude_seen: bool = True,
    decay: float = 1.0,
    recents: Sequence[int] = RECENT_GRID,
) -> dict[int, float]:
    """Recall@10 for every M of `recents`; `decay` as in `retrieve`."""
    recalls = recall_by_lookup(neighbours, held_out, exclude_seen=exclude_seen, recents=recents, decays=(decay,))
    return {lookup.recent: recall for lookup, recall in recalls.items()}


def best_lookup(recalls: Mapping[Lookup, float]) -> Lookup:
    """The lookup of the largest recall; of equal ones that of the smallest M, then of the largest decay."""
    return max(recalls, key=lambda lookup: (recalls[lookup], -lookup.recent, lookup.decay))
