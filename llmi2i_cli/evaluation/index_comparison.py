"""How an index differs from the one before, by figures that tell a broken one: no log is needed for them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class IndexComparison:
    """NEW beside OLD, by the first ten neighbours of each row.

    Attributes
    ----------
    lost : share of OLD's rows that NEW does not have
    gained : share of NEW's rows that OLD does not have
    coverage : NEW's number of different items that stand in some row, as a multiple of OLD's
    overlap : mean of |A & B| / max(|A|, |B|) over the rows that both have, A and B their neighbours; 0 without any
    popularity : mean popularity of NEW's neighbours as a multiple of that of OLD's; an item is as popular as the number
        of OLD's rows that it stands in
    """

    lost: float
    gained: float
    coverage: float
    overlap: float
    popularity: float


def compare_rows(old: pl.DataFrame, new: pl.DataFrame) -> IndexComparison:
    """Compare two tables with a row per neighbour, neither empty: item_id, neighbour_id (String), no pair twice."""
    old_rows, new_rows = (table.group_by("item_id").len("n") for table in (old, new))
    in_both = old_rows.join(new_rows, on="item_id", suffix="_new")
    shared = old.join(new, on=["item_id", "neighbour_id"], how="semi").group_by("item_id").len("shared")
    longer = pl.max_horizontal("n", "n_new")
    overlaps = in_both.join(shared, on="item_id", how="left").select(
        overlap=pl.col("shared").fill_null(0) / longer, item_id="item_id"
    )
    popularity = old.group_by("neighbour_id").len("popularity")
    of_old, of_new = (
        int(table.join(popularity, on="neighbour_id", how="left")["popularity"].sum()) / len(table)
        for table in (old, new)
    )
    return IndexComparison(
        lost=1 - len(in_both) / len(old_rows),
        gained=1 - len(in_both) / len(new_rows),
        coverage=new["neighbour_id"].n_unique() / old["neighbour_id"].n_unique(),
        overlap=float(overlaps.sort("item_id")["overlap"].sum())
        / max(len(in_both), 1),  # sorted: the same sum every time
        popularity=of_new / of_old,
    )
