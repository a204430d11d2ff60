"""The paper's Figure 5 from the sweep of `fuse`: validation Recall@10 by recall number and confidence threshold.

Usage: python examples/paper/figure5.py WORKDIR [WORKDIR ...]

Each figure is the best over strategies, copied histories and weights, all other choices being equal, on the users that
the sweep chose by: read the shape, not the height. "By" is the order in which a user's candidates are cut at the recall
number: the generator's (rank), the discriminator's (confidence) or, as a control, chance (random).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from judged import table


def rows_of(name: str, sweep: pl.DataFrame) -> Iterator[list[str]]:
    """One row a recall number and order, one column a threshold from the laxest on; empty where nothing was tried."""
    points = sweep.filter(pl.col("recall_number") > 0)
    best = points.group_by("recall_number", "order", "min_confidence").agg(pl.col("valid_recall@10").max())
    found = {(number, order, at): value for number, order, at, value in best.iter_rows()}
    thresholds = sorted({at for *_, at in found})
    for order in ("rank", "confidence", "random"):
        for number in sorted({number for number, by, _ in found if by == order}):
            cells = [found.get((number, order, at)) for at in thresholds]
            yield [name, order, str(number), *("" if cell is None else f"{cell:.4f}" for cell in cells)]


def main(arguments: list[str]) -> None:
    for workdir in map(Path, arguments):
        sweep = pl.read_parquet(workdir / "fuse" / "sweep.parquet", glob=False)
        tried = sweep.filter(pl.col("recall_number") > 0)["min_confidence"].unique().sort().to_list()
        header = ["log", "by", "recall number", *(f"confidence >= {at:.3f}" for at in tried)]
        sys.stdout.write(table(header, list(rows_of(workdir.name, sweep))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
