"""Evidence: how much the candidate was bought together with the recent items."""

from __future__ import annotations

import polars as pl

from llmi2i_cli.artifacts.features import Column
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.i2i.bm25 import bm25_pairs
from llmi2i_cli.i2i.recent_items import over_recent_items


def bm25(histories: Histories, _texts: pl.Series) -> Column:
    """BM25 with the recent items, without the user's own votes."""
    scores = bm25_pairs(histories)
    return lambda candidates: over_recent_items(candidates, lambda pairs, users: scores.of(pairs, without_users=users))
