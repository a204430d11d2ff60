"""The parts of a blend and their weights, as they are written, and where the search for weights goes next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmi2i_cli.errors import UsageError

FACTORS = (0.0, 0.5, 0.7, 1.4, 2.0)  # what a weight is multiplied with, one weight at a time


def names_of(parts: str) -> tuple[str, ...]:
    """``"bm25,text"`` as names. UsageError for fewer than two, or one that is named twice."""
    names = tuple(name.strip() for name in parts.split(","))
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError(f"--parts names two or more different models, separated by commas, not {parts!r}")
    return names


def weights_of(parts: str, weights: str) -> tuple[float, ...]:
    """``"1,0.5"`` as numbers, one for each part; 1 for each where `weights` is empty. UsageError for anything else."""
    names = names_of(parts)
    try:
        numbers = tuple(float(weight) for weight in weights.split(",")) if weights else (1.0,) * len(names)
    except ValueError:
        numbers = ()
    if len(numbers) != len(names) or not all(0 <= number < float("inf") for number in numbers) or not any(numbers):
        raise UsageError(f"--weights is a number of at least 0 for each of {parts}, not all 0, and not {weights!r}")
    return numbers


def next_points(best: Mapping[str, Any], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What to try around the best point: each weight but the first, times each of `FACTORS`; nothing if it is given."""
    if "weights" in given:
        return []
    weights = weights_of(best["parts"], best["weights"])
    points = []
    for place in range(1, len(weights)):
        for factor in FACTORS:
            changed = [*weights[:place], weights[place] * factor, *weights[place + 1 :]]
            points.append({**best, "weights": ",".join(f"{weight:.3g}" for weight in changed)})
    return points
