"""What each step is worth: print what examples/amazon.sh measured as Markdown tables.

Usage: python examples/paper/table.py NAME=WORKDIR[,WORKDIR...] [NAME=...]

Several work directories of a name are runs with different seeds: figures are their means, with the smallest and the
largest gain behind the interval. An interval is the paired bootstrap over users, of the users' means over the seeds.
"""

from __future__ import annotations

import sys
from pathlib import Path

from measured import Measured, measured, table

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


def read(workdirs: list[Path], name: str) -> Measured | None:
    """The figures of ``MODEL-DATA`` in some work directories, None where it was not evaluated in each."""
    found = measured({str(place): workdir for place, workdir in enumerate(workdirs)}, name)
    return found if found and len(found.reports) == len(workdirs) else None


def steps(name: str, workdirs: list[Path]) -> list[list[str]]:
    """A row for each step, with what it is worth beside the best table without an LLM."""
    found = {label: read(workdirs, step) for step, label in STEPS.items()}
    without = read(workdirs, NO_LLM)
    return [
        [
            name,
            label,
            f"{step.mean():.4f}",
            f"{step.mean(group='long_tail'):.4f}",
            "" if without is None or label == STEPS[NO_LLM] else step.gain_over(without),
        ]
        for label, step in found.items()
        if step is not None
    ]


def models(name: str, workdirs: list[Path]) -> list[list[str]]:
    """A row for each model: on the real log and on the fused one."""
    rows = []
    for model, label in MODELS.items():
        real, fused = read(workdirs, f"{model}-real"), read(workdirs, f"{model}-fused")
        if real is not None and fused is not None:
            figures = [f"{real.mean():.4f}", f"{fused.mean():.4f}", fused.gain_over(real)]
            rows.append([name, label, *figures, *(f"{log.mean(group='long_tail'):.4f}" for log in (real, fused))])
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
