"""Cleaning a log: order, exact duplicates, the k-core and the cap. Each works on whole users."""

from __future__ import annotations

import numpy as np
import polars as pl

from llmi2i_cli.data.splits import SPLITS
from llmi2i_cli.data.user_runs import UserRuns


def order_and_dedupe(rows: pl.DataFrame) -> pl.DataFrame:
    """Group interactions by user (sorted by id), oldest first, and drop exact duplicates (user, item, time).

    Rows of equal time keep their order. Of duplicates the first stays, with the greatest of their weights, the latest
    of their splits (what is test for somebody is not trained on), and as a target if one of them is. Rows without a
    time get their place among the user's rows, 0, 1, 2, ..., as timestamp.

    Parameters
    ----------
    rows : user_id, item_id, timestamp (null everywhere or nowhere) and what `interactions.LogReader` adds, in the order
        of the input
    """
    if rows["timestamp"].null_count():
        place = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id")
        return rows.with_columns(timestamp=place).sort("user_id", "timestamp")
    users = rows["user_id"].unique().sort()
    number = rows["user_id"].cast(pl.Enum(users)).to_physical()  # sorts in half the time that strings take
    ordered = rows.with_columns(number.alias("user")).sort("user", "timestamp", maintain_order=True)
    return _without_duplicates(ordered).drop("user")


def _without_duplicates(ordered: pl.DataFrame) -> pl.DataFrame:
    """Drop exact duplicates from rows in order of user and timestamp: only rows that tie in both are looked at."""
    as_before = pl.all_horizontal(pl.col(key) == pl.col(key).shift() for key in ("user", "timestamp"))
    tied = ordered.with_row_index("row").filter((as_before | as_before.shift(-1)).fill_null(False))
    again = tied.filter(~pl.struct("user", "timestamp", "item_id").is_first_distinct())["row"]
    if again.is_empty():
        return ordered
    return _merged(ordered, tied).filter(~pl.int_range(pl.len()).is_in(again.implode()))


def _merged(ordered: pl.DataFrame, tied: pl.DataFrame) -> pl.DataFrame:
    """`ordered`, with what is told of duplicates among the `tied` rows put together in the first of them."""
    merge = {
        "weight": pl.col("weight").max(),
        "split": pl.col("split").cast(pl.Enum(SPLITS)).max().cast(pl.String),
        "is_target": pl.col("is_target").any(),
    }
    told = [name for name in merge if name in ordered.columns]
    if not told:
        return ordered
    firsts = tied.group_by("user", "timestamp", "item_id").agg(pl.col("row").first(), *(merge[name] for name in told))
    joined = ordered.with_row_index("row").join(
        firsts.select("row", *told), on="row", how="left", maintain_order="left", suffix="_merged"
    )
    return joined.select(
        pl.coalesce(f"{name}_merged", name).alias(name) if name in told else name for name in ordered.columns
    )


def degrees(log: pl.DataFrame) -> pl.DataFrame:
    """Different users of each item: item_id, n_users; add them up over the buckets."""
    return log.select("user_id", "item_id").unique().group_by("item_id").agg(n_users=pl.len().cast(pl.Int64))


def add_counts(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Sum the other columns of frames that count something by item_id; sorted by item_id."""
    return pl.concat(parts).group_by("item_id").sum().sort("item_id")


def core_pass(log: pl.DataFrame, items: pl.Series, min_user_items: int) -> pl.DataFrame:
    """One pass towards the k-core: keep interactions with `items`, then users with enough different items left.

    Repeated until `items`, which have enough different users after the pass, stay the same, this ends at the largest
    log in which every user has `min_user_items` different items and every item its minimum of different users.
    """
    kept = log.join(items.to_frame("item_id"), on="item_id", how="semi", maintain_order="left")
    return kept.filter(pl.col("item_id").n_unique().over("user_id") >= min_user_items)


def cap(log: pl.DataFrame, max_user_items: int) -> pl.DataFrame:
    """Keep each user's most recent `max_user_items` interactions; `log` is oldest first."""
    to_come = UserRuns.of(log).still_to_come(np.ones(len(log), np.bool_))
    return log.filter(to_come <= max_user_items)
