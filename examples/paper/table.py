"""Print what examples/amazon.sh measured as a Markdown table.

Usage: python examples/paper/table.py NAME=WORKDIR [NAME=WORKDIR ...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MODELS = {"blend": "BM25 + text", "bm25": "BM25", "swing": "Swing", "bpr": "BPR", "youtubednn": "YoutubeDNN"}


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1%}"


def row(name: str, label: str, report: dict[str, Any]) -> str:
    """Recall@10 of a model on both logs, the gain with its interval, and the same of long-tail targets."""
    before, after = report["baseline"]["metrics"], report["metrics"]
    low, high = report["gain_intervals"]["all"]["recall@10"]
    cells = [
        name,
        label,
        f"{before['all']['recall@10']:.4f}",
        f"{after['all']['recall@10']:.4f}",
        f"{percent(report['gain']['all']['recall@10'])} ({percent(low)} .. {percent(high)})",
        f"{before['long_tail']['recall@10']:.4f}",
        f"{after['long_tail']['recall@10']:.4f}",
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> None:
    lines = [
        "| log | model | real | fused | gain (95% interval) | long tail: real | fused |",
        "|---|---|---|---|---|---|---|",
    ]
    for argument in arguments:
        name, _, workdir = argument.partition("=")
        for model, label in MODELS.items():
            path = Path(workdir) / "evaluate" / f"{model}-fused-test.json"
            if path.exists():
                lines.append(row(name, label, json.loads(path.read_text(encoding="utf-8"))))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
