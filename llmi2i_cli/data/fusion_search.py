"""What `fuse --tune` tries: a search in rounds, each a small grid around the best choice so far.

The first round is the paper's Figure 5: quality against the number of candidates and against their confidence, in every
order. The next lets candidates weigh their confidence, which can take the place of a threshold; later ones vary how the
best of these are fused. All at once would be ten times the points.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from llmi2i_cli.choices.strategies import ORDERS, STRATEGIES, WEIGHTS
from llmi2i_cli.data.fusion import Candidates, Choice

Axes = Mapping[str, Sequence[Any]]

# Thresholds are quantiles of the confidences at hand, because what a confidence is worth differs between
# discriminators; so are the shares of real interactions to drop.
RECALL_NUMBERS = (1, 3, 5, 10, 20)
REJECTED_SHARES = (0.5, 0.75, 0.9)
COPIED_HISTORIES = (5, None)  # the items that candidates follow most closely, or all
DROPPED_SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)


def first_choice(given: Mapping[str, Any]) -> Choice:
    """Where the search starts: the real log alone, but for what is given (not None)."""
    start = {"strategy": "append", "order": "rank", "recall_number": 0, "min_confidence": 0.0}
    return Choice(**{**start, **{name: value for name, value in given.items() if value is not None}})


def rounds(candidates: Candidates, given: Mapping[str, Any]) -> list[Axes]:
    """The fields of `Choice` that each round varies, with their values: a single one for what is given.

    The real log alone stands before them, unless a number of candidates is given.
    """
    numbers = [n for n in RECALL_NUMBERS if n < _deepest(candidates)] + [_deepest(candidates)]
    shares = REJECTED_SHARES if len(candidates.users) else ()
    thresholds = sorted({0.0, *(float(np.quantile(candidates.confidences, share)) for share in shares)})
    amounts: Axes = {"recall_number": numbers, "min_confidence": thresholds}
    found: list[Axes] = [
        {"order": tuple(ORDERS), **amounts},
        {"weight": WEIGHTS, **amounts},
        {"strategy": tuple(STRATEGIES), "copied_history": COPIED_HISTORIES},
        {"drop_real": DROPPED_SHARES},
    ]
    if given["recall_number"] is None:
        found.insert(0, {"recall_number": [0]})
    return [{name: values if given[name] is None else [given[name]] for name, values in axes.items()} for axes in found]


def combinations(best: Choice, axes: Axes, candidates: Candidates, given: Mapping[str, Any]) -> Iterator[Choice]:
    """Every combination of `axes` put into `best`; where two come to the same, both are spelled alike."""
    for values in itertools.product(*axes.values()):
        choice = replace(best, **dict(zip(axes, values, strict=True)))
        if not STRATEGIES[choice.strategy].copies_history:
            choice = replace(choice, copied_history=None)
        if choice.recall_number == 0:
            choice = replace(first_choice(given), recall_number=0, drop_real=choice.drop_real)
        if choice.recall_number >= _deepest(candidates) and given["order"] is None:
            choice = replace(choice, order="rank")  # all are taken, in whatever order
        yield choice


def first_round(sweep: pl.DataFrame) -> pl.DataFrame:
    """The points of a sweep's first round: those with candidates that are fused alike, and as the first ones."""
    points = sweep.filter(pl.col("recall_number") > 0)
    alike = {name: points[name][0] for name in ("strategy", "weight", "drop_real") if len(points)}
    return points.filter(**alike)


def _deepest(candidates: Candidates) -> int:
    return int(candidates.ranks.max(initial=0))
