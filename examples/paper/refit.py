"""Print what examples/paper/refit.sh measured as a Markdown table.

Usage: python examples/paper/refit.py WORKDIR REFITTED
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl

from llmi2i_cli.evaluation.comparison import bootstrap_means, interval, relative_gain

MODELS = {"blend": "BM25 + text", "bm25": "BM25", "swing": "Swing"}
HEADER = [
    "| model | log | Recall@10: on train | on train and valid | gain (95% interval) | long tail: train | and valid |",
    "|---|---|---|---|---|---|---|",
]


def recalls(workdir: Path, name: str) -> tuple[float, float]:
    """Test Recall@10 of all targets and of the long tail."""
    metrics = json.loads((workdir / f"evaluate/{name}-test.json").read_text(encoding="utf-8"))["metrics"]
    return metrics["all"]["recall@10"], metrics["long_tail"]["recall@10"]


def gain(work: Path, refitted: Path, name: str) -> str:
    """The relative gain in Recall@10 with its interval, users drawn together for both."""
    users = [pl.read_parquet(folder / f"evaluate/{name}-test.users.parquet") for folder in (work, refitted)]
    paired = users[0].join(users[1], on="user_id", maintain_order="left", validate="1:1")
    values = paired.select("recall@10", "recall@10_right").to_numpy()
    draws = bootstrap_means(values)
    found = interval(relative_gain(draws[:, 1], draws[:, 0]))
    before, after = values.mean(axis=0)
    return f"{after / before - 1:+.1%}" + (f" ({found[0]:+.1%} .. {found[1]:+.1%})" if found else "")


def row(work: Path, refitted: Path, model: str, log: str) -> str:
    name = f"{model}-{log}"
    (before, tail_before), (after, tail_after) = recalls(work, name), recalls(refitted, name)
    figures = [f"{before:.4f}", f"{after:.4f}", gain(work, refitted, name), f"{tail_before:.4f}", f"{tail_after:.4f}"]
    return f"| {' | '.join([MODELS[model], log, *figures])} |"


def main(arguments: list[str]) -> None:
    work, refitted = (Path(argument) for argument in arguments)
    rows = [row(work, refitted, model, log) for model in MODELS for log in ("real", "fused")]
    sys.stdout.write("\n".join([*HEADER, *rows]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
