"""Print Recall@10 of a work directory's models by how often train has the target, side by side, as a Markdown table.

Reads every evaluate/MODEL-DATA-test.json, and the baseline in it. Usage: python examples/paper/by_popularity.py WORKDIR
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from measured import table

from llmi2i_cli.choices.models import GENERATOR, MODELS


def told_by_model(workdir: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """``by_train_count`` of each model and log that was evaluated on test, in the order of the table of models."""
    told = {}
    for model in (*MODELS, GENERATOR):
        for data in ("real", "fused"):
            path = workdir / "evaluate" / f"{model}-{data}-test.json"
            if path.exists():
                report = json.loads(path.read_text(encoding="utf-8"))
                if "baseline" in report:
                    told[model, report["baseline"]["data"]] = report["baseline"]["by_train_count"]
                told[model, data] = report["by_train_count"]
    return told


def cell(told: dict[str, Any], group: str) -> str:
    """Recall@10 and its interval; empty where there are no targets."""
    recall, interval = told["metrics"][group]["recall@10"], told["intervals"][group]["recall@10"]
    return "" if recall is None else f"{recall:.4f} ({interval[0]:.3f} .. {interval[1]:.3f})"


def by_popularity(workdir: Path) -> str:
    """Markdown. SystemExit when nothing was evaluated."""
    told = told_by_model(workdir)
    if not told:
        raise SystemExit(f"Error: {workdir} has no evaluation on test: run `llmi2i evaluate -w {workdir}` first")
    heads = [model if data == "real" else f"{model}, {data}" for model, data in told]
    targets = next(iter(told.values()))["targets"]
    rows = [[group, f"{n:,}", *(cell(each, group) for each in told.values())] for group, n in targets.items()]
    return table(["times in train", "targets", *heads], rows)


if __name__ == "__main__":
    sys.stdout.write(by_popularity(Path(sys.argv[1])))
