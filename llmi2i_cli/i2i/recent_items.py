"""A candidate compared with the most recent items of its history, older ones counting less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.features import CandidateRows

RECENT_ITEMS = 5  # how far back a candidate is compared with the history
DECAY = 0.7  # an item one step further back counts this much less

Likeness = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.floating[Any]]]


def over_recent_items(candidates: CandidateRows, likeness: Likeness) -> NDArray[np.float64]:
    """Sum of the likeness of each candidate to the recent items of its context, decayed, float64 (n,).

    `likeness` is a function of pairs of items, int32 (n_pairs, 2), and the user beside each pair, int32 (n_pairs,).
    """
    contexts, context_of = candidates.contexts, candidates.context_of
    lengths = np.minimum(contexts.lengths[context_of], RECENT_ITEMS)
    owner = np.repeat(np.arange(len(candidates)), lengths)
    age = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)  # 0 = the most recent
    items = contexts.items[contexts.ptr[context_of[owner] + 1] - 1 - age]
    pairs = np.stack([items, candidates.items[owner]], axis=1).astype(np.int32)
    decayed: NDArray[np.float64] = likeness(pairs, candidates.users[owner].astype(np.int32)) * DECAY**age
    return np.bincount(owner, decayed, minlength=len(candidates)).astype(np.float64, copy=False)
