"""The paper's printed figures, a line each: table, dataset, backbone or method, augmentation, group, metric, value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

DATASETS = {"amazon-beauty": "Beauty", "amazon-toys": "Toys And Games", "simulated": "AEDS"}  # by the log's name
Key = tuple[str, str, str, str, str, str]


@dataclass(frozen=True)
class Printed:
    """The printed figures; without a file there are none."""

    figures: dict[Key, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Printed:
        if path is None:
            return cls()
        frame = pl.read_csv(path, separator="\t", infer_schema=False).fill_null("")
        return cls({tuple(row[:-1]): row[-1] for row in frame.iter_rows()})

    def of(self, table: int, log: str, method: str, augmentation: str, metric: str, group: str = "all") -> str:
        """A figure as it is printed, empty where the paper has none."""
        return self.figures.get((str(table), DATASETS.get(log, log), method, augmentation, group, metric), "")

    def gain(self, table: int, log: str, method: str, ours: str, theirs: str, metric: str, group: str = "all") -> str:
        """The relative gain of one augmentation over another."""
        pair = [self.of(table, log, method, each, metric, group) for each in (ours, theirs)]
        return f"{float(pair[0]) / float(pair[1]) - 1:+.1%}" if all(pair) else ""
