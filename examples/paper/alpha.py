"""Print what examples/paper/alpha.sh measured as a Markdown table.

Usage: python examples/paper/alpha.py WORKDIR [WORKDIR ...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl

from llmi2i_cli.artifacts.schemas import read_artifact
from llmi2i_cli.runs.manifests import read_manifest

HEADER = [
    "| alpha | candidates in the train tail | in the long tail | Recall@10 (95% interval) | long tail (95% interval) |",
    "|---|---|---|---|---|",
]


def tail_shares(workdir: Path) -> tuple[float, float]:
    """The shares of candidates in the train tail, which alpha weighs, and in the long tail, which is reported."""
    candidates = read_artifact(workdir, "synthesize/candidates.parquet")
    items = read_artifact(workdir, "prepare/items.parquet")
    proposed = candidates.join(items, on="item_id").select(pl.col("is_train_tail", "is_long_tail").mean())
    return proposed["is_train_tail"].item(), proposed["is_long_tail"].item()


def recall(report: dict[str, Any], group: str) -> str:
    low, high = report["intervals"][group]["recall@10"]
    return f"{report['metrics'][group]['recall@10']:.4f} ({low:.4f} .. {high:.4f})"


def row(workdir: Path) -> str:
    manifest = read_manifest(workdir / "sft-gen/manifest.json") or {}
    report = json.loads((workdir / "evaluate/generator-real-valid.json").read_text(encoding="utf-8"))
    train_tail, long_tail = tail_shares(workdir)
    cells = [
        f"{manifest['options']['alpha']:g}",
        f"{train_tail:.1%}",
        f"{long_tail:.1%}",
        recall(report, "all"),
        recall(report, "long_tail"),
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> None:
    sys.stdout.write("\n".join([*HEADER, *(row(Path(argument)) for argument in arguments)]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
