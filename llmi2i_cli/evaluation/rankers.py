"""The ways to rank the catalogue for held-out users: by an index, by a model's user vectors, by a language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.evaluation.latency import query_latency
from llmi2i_cli.evaluation.protocol import BY_MODEL, Chosen, Question
from llmi2i_cli.evaluation.retrieve import RankByLookups, rank_by_lookups
from llmi2i_cli.evaluation.validation import HeldOut, Lookup, recall_at_10, recall_by_lookup
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.training import UserRanker

GENERATOR_RECENT_GRID = (5, 10, 20, 50)  # a pass of the LLM each


@dataclass(frozen=True)
class Ranked:
    """Rankings, and how they came about.

    Attributes
    ----------
    ids : int32 (n_users, top_n), item rows, best first, padded with -1
    chosen : M and decay
    top_k : neighbours per item, where an index ranked
    figures : of the rankings themselves
    latency : of a query, see `query_latency`
    """

    ids: NDArray[np.int32]
    chosen: Chosen
    top_k: int | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    latency: Mapping[str, Any] | None = None


def rank_by_index(
    neighbours: Neighbours, held_out: HeldOut, question: Question, rank: RankByLookups = rank_by_lookups
) -> Ranked:
    """The neighbours of the recent items, summed: what is served. `rank` has the ranking done elsewhere."""
    chosen = question.choose(
        lambda valid, recents, decays: recall_by_lookup(
            neighbours, valid, exclude_seen=question.exclude_seen, recents=recents, decays=decays, rank=rank
        )
    )
    queries, (recent, decay) = held_out.queries, chosen.lookup
    (found,) = rank(neighbours, queries, [chosen.lookup], top_n=question.top_n, exclude_seen=question.exclude_seen)
    latency = query_latency(
        neighbours, queries, recent=recent, top_n=question.top_n, exclude_seen=question.exclude_seen, decay=decay
    )
    figures = {"retrieved_items": float(found.n_retrieved.mean())}
    return Ranked(found.ids, chosen, neighbours.k, figures, latency)


def rank_by_user_vectors(model: UserRanker, held_out: HeldOut, question: Question) -> Ranked:
    """As the model itself ranks."""
    queries = held_out.queries
    exclude = queries if question.exclude_seen else None
    ids, _ = model.rank(held_out.users.astype(np.int32), queries, top_n=question.top_n, exclude=exclude)
    return Ranked(ids, Chosen(Lookup(model.recent, 1.0), BY_MODEL, BY_MODEL))


def rank_by_generator(
    ranker_of: Callable[[HeldOut], Callable[[int, int], NDArray[np.int32]]], held_out: HeldOut, question: Question
) -> Ranked:
    """As the language model ranks.

    Parameters
    ----------
    ranker_of : for some users, the function of (M, top_n) that ranks the catalogue for them
    """

    def recalls(valid: HeldOut, recents: Sequence[int], decays: Sequence[float]) -> Mapping[Lookup, float]:
        rank = ranker_of(valid)
        return {Lookup(recent, decays[0]): recall_at_10(rank(recent, 10), valid) for recent in recents}

    chosen = question.choose(recalls, GENERATOR_RECENT_GRID, decays=(1.0,))
    return Ranked(ranker_of(held_out)(chosen.lookup.recent, question.top_n), chosen)
