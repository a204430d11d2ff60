"""Neighbours under a shop's rules: what may not be shown leaves its row, and the next ones move up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours

ITEMS_AT_ONCE = 1 << 14
JUST_BELOW = 1 - 1e-3  # of a score: far enough that float32 and the order of equal scores cannot undo it


@dataclass(frozen=True)
class Rules:
    """Which items may be neighbours of which.

    Attributes
    ----------
    allowed : bool (n_items,), may be anybody's neighbour
    same, different : int32 (n_items,), codes that have to be equal, or not; -1 is unknown, which is neither. None: any
    """

    allowed: NDArray[np.bool_]
    same: NDArray[np.int32] | None = None
    different: NDArray[np.int32] | None = None

    def permit(self, items: NDArray[np.int64], ids: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether each of `ids`, (len(items), k), may be a neighbour of its row's item; False where padded."""
        may = (ids != EMPTY) & self.allowed[ids]
        if self.same is not None:
            own = self.same[items, None]
            may &= (own >= 0) & (self.same[ids] == own)
        if self.different is not None:
            own, theirs = self.different[items, None], self.different[ids]
            may &= (own >= 0) & (theirs >= 0) & (theirs != own)
        return may


def under_rules(neighbours: Neighbours, rules: Rules, top_k: int) -> Neighbours:
    """The first `top_k` neighbours of each item that the rules permit, in their order."""
    width = min(top_k, neighbours.k)
    result = Neighbours.empty(neighbours.n_items, width)
    for items, block in neighbours.blocks(ITEMS_AT_ONCE):
        may = rules.permit(np.arange(items.start, items.stop), block.ids)
        order = np.argsort(~may, axis=1, kind="stable")[:, :width]
        stays = np.take_along_axis(may, order, axis=1)
        result.ids[items] = np.where(stays, np.take_along_axis(block.ids, order, axis=1), EMPTY)
        result.scores[items] = np.where(stays, np.take_along_axis(block.scores, order, axis=1), 0)
    return result


def filled(neighbours: Neighbours, others: Neighbours, top_k: int) -> Neighbours:
    """Rows that are shorter than `top_k`, filled by `others`, which have to keep the same rules.

    What is filled in ranks behind what was there: its scores fall from just below the row's last one (of an empty row:
    below the table's smallest) as they fall in `others`.
    """
    result = Neighbours.empty(neighbours.n_items, top_k)
    result.ids[:, : neighbours.k] = neighbours.ids[:, :top_k]
    result.scores[:, : neighbours.k] = neighbours.scores[:, :top_k]
    real = neighbours.scores[neighbours.ids != EMPTY]
    _fill(result.ids, result.scores, others.ids, others.scores, float(real.min()) if len(real) else 1.0)
    return result


@compiled()
def _fill(
    ids: NDArray[np.int32],
    scores: NDArray[np.float32],
    other_ids: NDArray[np.int32],
    other_scores: NDArray[np.float32],
    smallest: float,
) -> None:
    for row in range(len(ids)):
        n = 0
        while n < ids.shape[1] and ids[row, n] != EMPTY:
            n += 1
        last = scores[row, n - 1] if n else smallest
        for column in range(other_ids.shape[1]):
            other = other_ids[row, column]
            if n == ids.shape[1] or other == EMPTY:
                break
            if not (ids[row, :n] == other).any():
                ids[row, n] = other
                share = other_scores[row, column] / other_scores[row, 0] if other_scores[row, 0] > 0 else 0.0
                # abs: the vectors' cosines may be negative
                scores[row, n] = last - (1 - share * JUST_BELOW) * abs(last)
                n += 1
