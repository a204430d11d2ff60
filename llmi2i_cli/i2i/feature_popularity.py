"""Evidence: how often the candidate was bought by others."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.features import CandidateRows, Column
from llmi2i_cli.artifacts.histories import Histories


def popularity(histories: Histories, _texts: pl.Series) -> Column:
    """log(1 + interactions) of others than the user."""
    item_counts = histories.item_counts()
    owned = np.sort(histories.user_of_each().astype(np.int64) * histories.n_items + histories.items)

    def column(candidates: CandidateRows) -> NDArray[np.float64]:
        pairs = candidates.users.astype(np.int64) * histories.n_items + candidates.items
        own = np.searchsorted(owned, pairs, side="right") - np.searchsorted(owned, pairs, side="left")
        return np.log1p(item_counts[candidates.items] - own)

    return column
