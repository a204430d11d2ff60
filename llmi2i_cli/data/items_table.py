"""The table of items: what the catalogue names and what train holds, with counts and marks of the long tail."""

from __future__ import annotations

import polars as pl

from llmi2i_cli.choices.preparation import PrepareOptions
from llmi2i_cli.data.counts import mark_long_tail
from llmi2i_cli.errors import InputError
from llmi2i_cli.runs.progress import notice


def items_table(counts: pl.DataFrame, catalogue: pl.DataFrame | None, options: PrepareOptions) -> pl.DataFrame:
    """All items that a model can know, sorted by item_id, with their counts; says how many the catalogue lacks.

    Parameters
    ----------
    counts : item_id, count, train_count of the log's items
    catalogue : item_id, title, text; None where there is none: the items of train then have empty ones

    Raises
    ------
    InputError : nothing is left for training
    """
    if counts["train_count"].sum() == 0:
        raise InputError("no interaction is left for training: all are held out; use another --split")
    in_train = counts.filter(pl.col("train_count") > 0)
    if catalogue is None:
        items = in_train.with_columns(title=pl.lit(""), text=pl.lit(""))
    else:
        unknown = in_train.join(catalogue, on="item_id", how="anti")
        if len(unknown):
            known = f"{len(unknown):,} of the log's {len(in_train):,} items"
            notice(f"Warning: the catalogue lacks {known}; they have an empty title")
        if options.clean.min_item_users > 0:
            catalogue = catalogue.join(counts, on="item_id", how="semi")
        items = in_train.select("item_id").join(catalogue, on="item_id", how="full", coalesce=True)
        items = items.join(counts, on="item_id", how="left").with_columns(
            pl.col("title", "text").fill_null(""), pl.col("count", "train_count").fill_null(0)
        )
    tail = options.tail
    return mark_long_tail(items.sort("item_id"), tail_max_count=tail.tail_max_count, tail_fraction=tail.tail_fraction)
