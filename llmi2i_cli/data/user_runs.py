"""Where the users stand in a log whose rows are grouped by user, so that no id is compared twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True)
class UserRuns:
    """The rows of each user of a log, which stand together.

    Attributes
    ----------
    lengths : int64 (n_users,), rows of each user, in the log's order of users
    """

    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, log: pl.DataFrame) -> UserRuns:
        """Those of a log with a column user_id."""
        return cls(log["user_id"].rle().struct.field("len").to_numpy().astype(np.int64))

    def so_far(self, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of the `counted` rows of its user stand at each row or before it, int64 (n_rows,)."""
        before, starts = _counted_before(counted), np.cumsum(self.lengths) - self.lengths
        return before[1:] - np.repeat(before[starts], self.lengths)

    def still_to_come(self, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of the `counted` rows of its user stand at each row or behind it, int64 (n_rows,)."""
        before, ends = _counted_before(counted), np.cumsum(self.lengths)
        return np.repeat(before[ends], self.lengths) - before[:-1]


def _counted_before(counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many rows are counted before each row, and at last in all: int64 (n_rows + 1,)."""
    return np.concatenate([[0], np.cumsum(counted, dtype=np.int64)])
