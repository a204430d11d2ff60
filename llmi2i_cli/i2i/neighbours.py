"""Item-to-item similarities as every model returns them: for each item its K nearest items and their scores.

Ties. Scores that are equal to a relative 1e-6 are ordered by ``tie_ranks``: a permutation of the catalogue drawn once
from a seed, so neither popularity nor the order of the input decides. Ranking is done on one unsigned key that holds
the rounded score in its upper half and the inverted tie rank in its lower half, so a plain descending sort of the keys
is the ranking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled

TIE_SEED = 42
EMPTY = -1


@dataclass(frozen=True)
class Neighbours:
    """The K nearest items of each item, best first.

    Attributes
    ----------
    ids : int32 (n_items, k), item indices; rows with fewer neighbours are padded with -1
    scores : float32 (n_items, k), 0 where padded
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.float32]

    @property
    def n_items(self) -> int:
        return self.ids.shape[0]

    @property
    def k(self) -> int:
        return self.ids.shape[1]

    @classmethod
    def empty(cls, n_items: int, k: int) -> Neighbours:
        """No neighbours yet: padding alone, for a kernel to fill."""
        return cls(np.full((n_items, k), EMPTY, np.int32), np.zeros((n_items, k), np.float32))

    def top(self, k: int) -> Neighbours:
        """The first `k` columns."""
        return Neighbours(np.ascontiguousarray(self.ids[:, :k]), np.ascontiguousarray(self.scores[:, :k]))

    def blocks(self, n_items: int) -> Iterator[tuple[slice, Neighbours]]:
        """Yield the rows of `n_items` items at a time, as views, and which items they are."""
        for first in range(0, self.n_items, n_items):
            block = slice(first, min(first + n_items, self.n_items))
            yield block, Neighbours(self.ids[block], self.scores[block])


def tie_ranks(n_items: int, seed: int = TIE_SEED) -> NDArray[np.int32]:
    """Place of each item in the fixed random order that breaks ties, int32 (n_items,); the lower place wins."""
    return np.random.default_rng(seed).permutation(n_items).astype(np.int32)


@compiled(inline="always")
def ranking_key(score: float, tie_rank: int) -> Any:
    """One uint64 that sorts like (score rounded to a relative 1e-6, -tie_rank); `score` must be finite.

    With tie rank 0 it is the highest key of that score. The float32 bits of a positive number grow with it, those of a
    negative one fall (hence the flip), and adding 0 makes -0 a 0. Adding 8 and clearing the last four bits rounds the
    mantissa from 23 to 19 bits, an error of at most 2**-20 of the score.
    """
    bits = np.uint64(np.float32(np.float32(score) + np.float32(0)).view(np.uint32))
    rounded = (bits + np.uint64(8)) & np.uint64(0xFFFFFFF0)
    negative = rounded & np.uint64(0x80000000)
    rounded ^= np.uint64(0xFFFFFFFF) if negative else np.uint64(0x80000000)
    return (rounded << np.uint64(32)) | np.uint64(0xFFFFFFFF - tie_rank)


@compiled(inline="always")
def tie_rank_of_key(key: Any) -> Any:
    """The tie rank that `ranking_key` put into the lower half of `key`."""
    return np.int64(0xFFFFFFFF) - np.int64(key & np.uint64(0xFFFFFFFF))
