"""The interaction log as arrays: one row of item indices per user, in compressed sparse row form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Histories:
    """User histories in compressed sparse row (CSR) form, oldest interaction first.

    The items of user ``u`` are ``items[ptr[u]:ptr[u + 1]]``; they may repeat (a user can buy an item twice).

    Attributes
    ----------
    ptr : int64 (n_users + 1,)
    items : int32 (n_interactions,), item indices in ``0 .. n_items - 1``
    n_items : size of the catalogue; larger than ``items.max() + 1`` when the last items were never interacted with
    weights : float32 (n_interactions,) or None, interaction weights; None means that each is 1
    """

    ptr: NDArray[np.int64]
    items: NDArray[np.int32]
    n_items: int
    weights: NDArray[np.float32] | None = None

    @property
    def n_users(self) -> int:
        return len(self.ptr) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Interactions of each user, int64 (n_users,)."""
        return np.diff(self.ptr)

    def row(self, user: int) -> NDArray[np.int32]:
        """Items of one user, oldest first."""
        return self.items[self.ptr[user] : self.ptr[user + 1]]

    def where(self, kept: NDArray[np.bool_]) -> Histories:
        """The interactions that `kept`, bool (n_interactions,), marks; the same users."""
        ptr = np.concatenate([[0], np.cumsum(kept)])[self.ptr]
        weights = None if self.weights is None else self.weights[kept]
        return Histories(ptr, self.items[kept], self.n_items, weights)

    def user_of_each(self) -> NDArray[np.int32]:
        """The user index of every interaction, int32 (n_interactions,)."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), self.lengths)

    def weight_of_each(self) -> NDArray[np.float32]:
        """What every interaction counts, float32 (n_interactions,)."""
        return np.ones(len(self.items), np.float32) if self.weights is None else self.weights

    def item_counts(self) -> NDArray[np.int64]:
        """Interactions of each item, int64 (n_items,)."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int64)

    def most_recent(self, max_user_items: int) -> Histories:
        """The last `max_user_items` interactions of each user, or all if it is 0."""
        kept = np.minimum(self.lengths, max_user_items)
        if not max_user_items or kept.sum() == len(self.items):
            return self
        ptr = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        entries = np.arange(ptr[-1]) + np.repeat(self.ptr[1:] - ptr[1:], kept)
        return Histories(
            ptr, self.items[entries], self.n_items, None if self.weights is None else self.weights[entries]
        )

    def take(self, users: NDArray[np.int64]) -> Histories:
        """The histories of some users, in the order given."""
        lengths = self.lengths[users]
        ptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entries = np.arange(ptr[-1]) + np.repeat(self.ptr[users] - ptr[:-1], lengths)
        return Histories(
            ptr, self.items[entries], self.n_items, None if self.weights is None else self.weights[entries]
        )

    def before(self, places: NDArray[np.int64], limit: int) -> Histories:
        """What stood before interactions: for each of `places` in `items` the user's `limit` ones before it."""
        starts = self.ptr[self._row_of(places)]
        return self._windows(np.maximum(starts, places - limit), places)

    def around(self, places: NDArray[np.int64], limit: int) -> Histories:
        """The user's other interactions nearest to each of `places`: `limit` in all, those before it first choice.

        The nearest stands last in its row: what came later goes first, in reverse.
        """
        rows = self._row_of(places)
        first = np.maximum(self.ptr[rows], places - limit)
        last = np.minimum(self.ptr[rows + 1], places + 1 + limit - (places - first))
        before, after = self._windows(first, places), self._windows(places + 1, last)
        lengths = before.lengths + after.lengths
        ptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        items = np.empty(ptr[-1], np.int32)
        within = np.arange(len(after.items)) - np.repeat(after.ptr[:-1], after.lengths)
        items[np.repeat(ptr[:-1] + after.lengths - 1, after.lengths) - within] = after.items
        within = np.arange(len(before.items)) - np.repeat(before.ptr[:-1], before.lengths)
        items[np.repeat(ptr[:-1] + after.lengths, before.lengths) + within] = before.items
        return Histories(ptr, items, self.n_items)

    def _row_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.ptr, places, side="right") - 1

    def _windows(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Histories:
        """A row for each stretch starts .. ends - 1 of `items`."""
        lengths = ends - starts
        ptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Histories(ptr, self.items[np.repeat(starts - ptr[:-1], lengths) + np.arange(ptr[-1])], self.n_items)

    @classmethod
    def from_rows(cls, rows: list[list[int]], n_items: int) -> Histories:
        """Build from nested lists; for tests and small inputs."""
        ptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=ptr[1:])
        items = np.array([item for row in rows for item in row], np.int32)
        return cls(ptr, items, n_items)
