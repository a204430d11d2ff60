"""Evidence: what the generator thinks of the candidate itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.features import CandidateRows, Column
from llmi2i_cli.artifacts.histories import Histories


def logprob(_histories: Histories, _texts: pl.Series) -> Column:
    """Log-likelihood among the items that the user has not seen."""

    def column(candidates: CandidateRows) -> NDArray[np.floating[Any]]:
        assert candidates.logprobs is not None  # else nobody asks
        return candidates.logprobs

    return column


def rank(_histories: Histories, _texts: pl.Series) -> Column:
    """Logarithm of the place in the generator's list."""

    def column(candidates: CandidateRows) -> NDArray[np.floating[Any]]:
        assert candidates.ranks is not None  # else nobody asks
        return np.log(candidates.ranks)

    return column
