"""The paper's Figure 5 from the sweep of `fuse`: validation Recall@10 by recall number and confidence threshold.

Usage: python examples/paper/figure5.py WORKDIR [WORKDIR ...]

The sweep's first round, appended candidates that weigh 1: a Swing in every cell, on the users that the sweep chose by.
"By" is the order in which a user's candidates are cut at the recall number: the generator's (rank), the discriminator's
(confidence) or, as a control, chance (random).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from judged import table


def first_round(sweep: pl.DataFrame) -> pl.DataFrame:
    """The points that are fused alike, and as the first ones of the sweep."""
    points = sweep.filter(pl.col("recall_number") > 0)
    alike = {name: points[name][0] for name in ("strategy", "weight", "drop_real")}
    return points.filter(**alike)


def rows_of(name: str, sweep: pl.DataFrame) -> Iterator[list[str]]:
    """One row a recall number and order, one column a threshold from the laxest on; empty where nothing was tried."""
    points = first_round(sweep).select("recall_number", "order", "min_confidence", "valid_recall@10")
    found = {(number, order, at): value for number, order, at, value in points.iter_rows()}
    thresholds = sorted({at for *_, at in found})
    for order in ("rank", "confidence", "random"):
        for number in sorted({number for number, by, _ in found if by == order}):
            cells = [found.get((number, order, at)) for at in thresholds]
            yield [name, order, str(number), *("" if cell is None else f"{cell:.4f}" for cell in cells)]


def main(arguments: list[str]) -> None:
    for workdir in map(Path, arguments):
        sweep = pl.read_parquet(workdir / "fuse" / "sweep.parquet", glob=False)
        tried = first_round(sweep)["min_confidence"].unique().sort().to_list()
        header = ["log", "by", "recall number", *(f"confidence >= {at:.3f}" for at in tried)]
        sys.stdout.write(table(header, list(rows_of(workdir.name, sweep))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
