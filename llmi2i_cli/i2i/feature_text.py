"""Evidence: how like the candidate's text is to that of the recent items."""

from __future__ import annotations

import polars as pl

from llmi2i_cli.artifacts.features import Column
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.i2i.pair_products import PairProducts
from llmi2i_cli.i2i.recent_items import over_recent_items
from llmi2i_cli.i2i.tf_idf import tf_idf


def text(_histories: Histories, texts: pl.Series) -> Column:
    """Cosine of the TF-IDF vectors with the recent items, weighted as `train-i2i --model text` does by default."""
    cosines = PairProducts(*tf_idf(texts))
    return lambda candidates: over_recent_items(candidates, lambda pairs, _: cosines.of(pairs))
