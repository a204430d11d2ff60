"""Ranking metrics of each user, from where the relevant items stand in the user's ranking.

A user may have several relevant items (a test day); a repeated one counts once. With ``R`` the relevant items of a user
and ``rank(i)`` from 1:

- Recall@K = |{i in R: rank(i) <= K}| / |R|
- NDCG@K   = sum over i in R, rank(i) <= K, of 1 / log2(rank(i) + 1), over the same sum for ranks 1 .. min(K, |R|)
- MRR@K    = 1 / the best rank of R, 0 when it is beyond K

Metrics of a group of items (the long tail) take only its items as relevant, over the users who have one; the ranking
stays that of the whole catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import prange
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.compiled import compiled

NOT_RANKED = 0


@dataclass(frozen=True)
class PerUserMetrics:
    """Metrics of the users who have a relevant item.

    Attributes
    ----------
    users : int64 (n,), rows of the targets
    names : ``recall@5``, ``ndcg@5``, ``mrr@5``, ...
    values : float64 (n, len(names))
    n_targets : relevant items of all users together
    hits : how many of them stand in the first K, as ``hits@5``, ...
    """

    users: NDArray[np.int64]
    names: tuple[str, ...]
    values: NDArray[np.float64]
    n_targets: int
    hits: dict[str, int]

    def means(self) -> dict[str, float]:
        """Mean over users of each metric; 0 when there is no user."""
        if not len(self.users):
            return dict.fromkeys(self.names, 0.0)
        return dict(zip(self.names, self.values.mean(axis=0).tolist(), strict=True))


def distinct_items(histories: Histories) -> Histories:
    """Each user's items once, ascending."""
    pairs = np.unique(histories.user_of_each().astype(np.int64) * histories.n_items + histories.items)
    users = pairs // max(histories.n_items, 1)
    ptr = np.zeros(histories.n_users + 1, np.int64)
    np.cumsum(np.bincount(users, minlength=histories.n_users), out=ptr[1:])
    return Histories(ptr, (pairs - users * histories.n_items).astype(np.int32), histories.n_items)


def rank_of_targets(ranked: NDArray[np.int32], targets: Histories) -> NDArray[np.int32]:
    """Where each target stands in its user's ranking.

    Parameters
    ----------
    ranked : int32 (n_users, n), item indices, best first, padded with -1
    targets : relevant items of the same users

    Returns
    -------
    int32 (n_targets,), aligned with ``targets.items``: the rank from 1, or 0 (`NOT_RANKED`)
    """
    if len(ranked) != targets.n_users:
        raise ValueError(f"{len(ranked)} rankings for {targets.n_users} users")
    return _rank_of_targets(ranked, targets.ptr, targets.items)


def per_user_metrics(
    target_ranks: NDArray[np.int32],
    targets: Histories,
    *,
    ks: Sequence[int],
    relevant: NDArray[np.bool_] | None = None,
) -> PerUserMetrics:
    """Recall@K, NDCG@K and MRR@K of every user with a relevant target.

    Parameters
    ----------
    target_ranks : int32 (n_targets,), from `rank_of_targets`
    targets : each user's relevant items, without repetition (`distinct_items`)
    ks : cut-offs
    relevant : bool (n_items,), the group of items whose targets count; None is all. Items behind these are in no group
    """
    target_users = targets.user_of_each()
    if relevant is not None:
        counts_here = np.append(relevant, False)[np.minimum(targets.items, len(relevant))]
        target_ranks, target_users = target_ranks[counts_here], target_users[counts_here]
    n_relevant: NDArray[np.int64] = np.bincount(target_users, minlength=targets.n_users)  # (n_users,)
    users = np.flatnonzero(n_relevant)

    def total_by_user(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(target_users, weights=values, minlength=targets.n_users)[users].astype(np.float64)

    found = target_ranks != NOT_RANKED
    discounts = np.where(found, 1 / np.log2(target_ranks + 1.0, where=found, out=np.ones(len(found))), 0)
    best_rank = np.full(targets.n_users, np.iinfo(np.int32).max)
    np.minimum.at(best_rank, target_users[found], target_ranks[found])
    names, columns, n_hits = [], [], {}
    most = int(n_relevant.max(initial=0))
    for k in ks:
        hits = found & (target_ranks <= k)
        ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(min(k, most)) + 2.0))])  # by relevant items
        n_hits[f"hits@{k}"] = int(hits.sum())
        names += [f"recall@{k}", f"ndcg@{k}", f"mrr@{k}"]
        columns += [
            total_by_user(hits.astype(float)) / n_relevant[users],
            total_by_user(discounts * hits) / ideal[np.minimum(n_relevant[users], k)],
            np.where(best_rank[users] <= k, 1 / best_rank[users], 0),
        ]
    values = np.stack(columns, axis=1) if columns else np.empty((len(users), 0))
    return PerUserMetrics(users, tuple(names), values, len(target_ranks), n_hits)


def coverage(ranked: NDArray[np.int32], k: int, n_items: int) -> float:
    """Share of the catalogue that stands in somebody's first `k`."""
    seen = np.zeros(n_items + 1, bool)
    seen[ranked[:, :k]] = True  # the padding, -1, marks the extra place
    return float(seen[:n_items].sum() / n_items) if n_items else 0.0


def shares(ranked: NDArray[np.int32], ks: Sequence[int], members: NDArray[np.bool_]) -> dict[str, float]:
    """What share of the first K places of all rankings is held by `members`, bool (n_items,), as ``share@K``.

    Places that nothing fills count for nobody; 0 when nothing fills any.
    """
    ours = np.append(members, False)[ranked]  # the padding, -1, is the extra place
    filled = ranked >= 0
    return {f"share@{k}": float(ours[:, :k].sum() / max(1, filled[:, :k].sum())) for k in ks}


@compiled(parallel=True)
def _rank_of_targets(
    ranked: NDArray[np.int32], target_ptr: NDArray[np.int64], target_items: NDArray[np.int32]
) -> NDArray[np.int32]:
    ranks = np.zeros(len(target_items), np.int32)
    for user in prange(len(ranked)):
        for index in range(target_ptr[user], target_ptr[user + 1]):
            for place in range(ranked.shape[1]):
                if ranked[user, place] == target_items[index]:
                    ranks[index] = place + 1
                    break
    return ranks
