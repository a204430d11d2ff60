"""What speaks for a candidate besides an LLM's memory: how it was bought with the history, its text, its popularity.

These are the facts that the discriminator reads as feature tokens (the paper's X_Y), a row of `choices.evidence` each.
They come from train interactions alone, and an interaction never testifies for itself: the user in question is left out
of the counts of the pairs that it would be part of.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from llmi2i_cli.artifacts.features import CandidateRows, Column, Features
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.evidence import FEATURES
from llmi2i_cli.choices.loading import load


class Evidence:
    """The features of one log's candidates; what a feature needs of the log is prepared once."""

    def __init__(self, histories: Histories, texts: pl.Series, names: Sequence[str] = tuple(FEATURES)) -> None:
        """`histories` may testify; `texts` is String (n_items,); `names` are keys of `FEATURES`."""
        self.names = tuple(names)
        self._columns: dict[str, Column] = {name: load(FEATURES[name].compute)(histories, texts) for name in names}

    def features(self, candidates: CandidateRows) -> Features:
        """The facts about candidates; those that the generator alone can tell are NaN where it was not asked."""
        values = np.full((len(candidates), len(self.names)), np.nan, np.float32)
        for place, name in enumerate(self.names):
            if candidates.logprobs is not None or not FEATURES[name].from_generator:
                values[:, place] = self._columns[name](candidates)
        return Features(self.names, values)
