"""How far a confidence can be taken at its word: Markdown tables of confidence against what was observed.

Usage: python examples/paper/reliability.py WORKDIR [WORKDIR ...]

On the users that the calibration was not fitted on. "Observed, balanced" is what the confidence claims: the share of
Yes where observed and other candidates are equally many, among users whose list holds their next item. "Hits" is the
share of all pairs of all users, as they are: most lists hold nothing that comes next.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from judged import Judged, read_judged
from measured import table

from llmi2i_cli.llm.calibration import BINS, expected_calibration_error, fitting_half, log_loss, reliability


def rows_of(name: str, judged: Judged, split: str) -> Iterator[list[str]]:
    """A row for each bin of confidence, and one of all with the calibration error and the log loss."""
    observed, measured = judged.observed[split], ~fitting_half(judged.users)
    if split == "test":
        measured &= ~judged.observed["valid"]  # neither what comes next nor wrong
    listed = judged.listed(split) & measured
    confidences, labels = judged.confidences[listed], observed[listed]
    everyone = np.minimum((judged.confidences * BINS).astype(np.int64), BINS - 1)
    for each in reliability(confidences, labels):
        pairs = observed[measured & (everyone == round(each.low * BINS))]
        yield [
            name,
            split,
            f"{each.low:.1f} .. {each.high:.1f}",
            f"{each.pairs:,}",
            f"{each.confidence:.3f}",
            f"{each.observed:.3f}",
            f"{len(pairs):,}",
            f"{pairs.mean():.3%}",
        ]
    figures = f"ECE {expected_calibration_error(confidences, labels):.3f}, log loss {log_loss(confidences, labels):.3f}"
    pairs = observed[measured]
    yield [name, split, "all", f"{len(labels):,}", figures, "", f"{len(pairs):,}", f"{pairs.mean():.3%}"]


def main(arguments: list[str]) -> None:
    rows = []
    for workdir in map(Path, arguments):
        judged = read_judged(workdir)
        for split in judged.observed:
            rows += list(rows_of(workdir.name, judged, split))
    header = ["log", "split", "confidence", "pairs", "mean confidence", "observed, balanced", "all pairs", "hits"]
    sys.stdout.write(table(header, rows))


if __name__ == "__main__":
    main(sys.argv[1:])
