"""How long one query takes, as an online service asks: one user at a time, on one thread."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.evaluation.retrieve import rank_one
from llmi2i_cli.i2i.neighbours import Neighbours, tie_ranks

SAMPLED_QUERIES = 1000
WARM_UP_QUERIES = 50  # the first one compiles
SEED = 42


def query_latency(
    neighbours: Neighbours,
    queries: Histories,
    *,
    recent: int,
    top_n: int,
    exclude_seen: bool = True,
    decay: float = 1.0,
) -> dict[str, Any]:
    """Latency of `rank_one` over a fixed random sample of the queries, from item rows to item rows.

    The index lies in memory; looking up ids as text is not part of it.

    Parameters
    ----------
    queries : one row per user, oldest first
    recent, top_n, decay : as in `retrieve`
    exclude_seen : leave out the whole history, not the `recent` items alone

    Returns
    -------
    ``p50_ms`` and ``p99_ms``, milliseconds, null without queries; ``queries``, how many were timed
    """
    rng = np.random.default_rng(SEED)
    sample = rng.choice(queries.n_users, min(SAMPLED_QUERIES, queries.n_users), replace=False)
    tie_rank = tie_ranks(neighbours.n_items)
    nothing = np.empty(0, np.int32)

    def seconds(user: int) -> float:
        history = queries.row(user)
        start = time.perf_counter()
        rank_one(
            neighbours.ids,
            neighbours.scores,
            tie_rank,
            history[-recent:],
            exclude=history if exclude_seen else nothing,
            top_n=top_n,
            decay=decay,
        )
        return time.perf_counter() - start

    for user in sample[:WARM_UP_QUERIES]:
        seconds(user)
    timed = [seconds(user) * 1e3 for user in sample]
    p50, p99 = np.percentile(timed, [50, 99]).tolist() if timed else (None, None)
    return {"p50_ms": p50, "p99_ms": p99, "queries": len(timed)}
