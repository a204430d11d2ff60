"""What each step is worth: print what examples/amazon.sh measured as Markdown tables.

Usage: python examples/paper/table.py NAME=WORKDIR[,WORKDIR...] [NAME=...]

Several work directories of a name are runs with different seeds: figures are their means, with the smallest and the
largest gain behind the interval. An interval is the paired bootstrap over users, of the users' means over the seeds.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from judged import table
from numpy.typing import NDArray

from llmi2i_cli.evaluation.comparison import bootstrap_means, interval, relative_gain

METRIC = "recall@10"
NO_LLM = "blend-real"  # the best table that needs no LLM
STEPS = {
    "text-real": "text",
    "bm25-real": "BM25",
    NO_LLM: "BM25 + text",
    "next-item-real": "the next item after each, by the generator",
    "llm-blend-real": "BM25 + text + next item",
    "bm25-fused": "BM25 on the fused log",
    "blend-fused": "BM25 + text on the fused log",
    "llm-blend-fused": "BM25 + text + next item on the fused log",
    "generator-real": "the generator itself, not a table",
}
MODELS = {
    "llm-blend": "BM25 + text + next item",
    "blend": "BM25 + text",
    "bm25": "BM25",
    "swing": "Swing",
    "bpr": "BPR",
    "youtubednn": "YoutubeDNN",
}


@dataclass(frozen=True)
class Measured:
    """A table's figures on test.

    Attributes
    ----------
    per_user : float64 (n_seeds, n_users), users in the order of their ids
    long_tail : mean over the seeds
    """

    per_user: NDArray[np.float64]
    long_tail: float

    @property
    def mean(self) -> float:
        return float(self.per_user.mean())

    def gain_over(self, other: Measured) -> str:
        """The relative gain, its interval, and where there are several seeds the extremes of theirs."""
        draws = bootstrap_means(np.stack([self.per_user.mean(axis=0), other.per_user.mean(axis=0)], axis=1))
        found = interval(relative_gain(draws[:, 0], draws[:, 1]))
        between = " .. ".join(f"{bound:+.1%}" for bound in found) if found else "no interval"
        if len(self.per_user) == 1:
            return f"{self.mean / other.mean - 1:+.1%} ({between})"
        seeds = self.per_user.mean(axis=1) / other.per_user.mean(axis=1) - 1
        return f"{self.mean / other.mean - 1:+.1%} ({between}; seeds {seeds.min():+.1%} .. {seeds.max():+.1%})"


def read(workdirs: list[Path], name: str) -> Measured | None:
    """The figures of ``MODEL-DATA`` in some work directories, None where it was not evaluated in each."""
    stems = [workdir / "evaluate" / f"{name}-test" for workdir in workdirs]
    if not all(stem.with_name(f"{stem.name}.users.parquet").exists() for stem in stems):
        return None
    users = [pl.read_parquet(f"{stem}.users.parquet").sort("user_id") for stem in stems]
    reports = [json.loads(stem.with_name(f"{stem.name}.json").read_text(encoding="utf-8")) for stem in stems]
    tails = [report["metrics"]["long_tail"][METRIC] for report in reports]
    return Measured(np.stack([frame[METRIC].to_numpy() for frame in users]), float(np.mean(tails)))


def steps(name: str, workdirs: list[Path]) -> list[list[str]]:
    """A row for each step, with what it is worth beside the best table without an LLM."""
    found = {label: read(workdirs, step) for step, label in STEPS.items()}
    without = read(workdirs, NO_LLM)
    return [
        [
            name,
            label,
            f"{measured.mean:.4f}",
            f"{measured.long_tail:.4f}",
            "" if without is None or label == STEPS[NO_LLM] else measured.gain_over(without),
        ]
        for label, measured in found.items()
        if measured is not None
    ]


def models(name: str, workdirs: list[Path]) -> list[list[str]]:
    """A row for each model: on the real log and on the fused one."""
    rows = []
    for model, label in MODELS.items():
        real, fused = read(workdirs, f"{model}-real"), read(workdirs, f"{model}-fused")
        if real is not None and fused is not None:
            figures = [f"{real.mean:.4f}", f"{fused.mean:.4f}", fused.gain_over(real)]
            rows.append([name, label, *figures, f"{real.long_tail:.4f}", f"{fused.long_tail:.4f}"])
    return rows


def main(arguments: list[str]) -> None:
    runs = {
        name: [Path(each) for each in paths.split(",")]
        for name, _, paths in (each.partition("=") for each in arguments)
    }
    step_rows = [row for name, workdirs in runs.items() for row in steps(name, workdirs)]
    model_rows = [row for name, workdirs in runs.items() for row in models(name, workdirs)]
    header = ["log", "what is served", "Recall@10", "long tail", "against BM25 + text, without an LLM (95% interval)"]
    sys.stdout.write(table(header, step_rows) + "\n")
    header = ["log", "model", "real", "fused", "gain (95% interval)", "long tail: real", "fused"]
    sys.stdout.write(table(header, model_rows))


if __name__ == "__main__":
    main(sys.argv[1:])
