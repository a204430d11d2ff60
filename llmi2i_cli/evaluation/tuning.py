"""How the options of a model are searched: its grid, and then around the best point for as long as that helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.models import Model

Figures = Mapping[str, Any]  # of a point; "recall@10" is what counts


@dataclass(frozen=True)
class Search:
    """The points that were tried, their figures, and the place of the (first) best one."""

    points: list[dict[str, Any]]
    figures: list[Figures]
    best: int

    @property
    def options(self) -> dict[str, Any]:
        return self.points[self.best]

    @property
    def recall(self) -> float:
        return float(self.figures[self.best]["recall@10"])


def search(row: Model, given: Mapping[str, Any], measure: Callable[[int, dict[str, Any]], Figures]) -> Search:
    """Try the grid of a model, what is `given` staying as it is, then what lies around the best point.

    Parameters
    ----------
    measure : the figures of a point, from its number and its options; ``recall@10`` decides
    """
    points, best = row.points(given), 0
    figures: list[Figures] = []
    around = load(row.next_points) if row.next_points else lambda best, given: []
    while len(figures) < len(points):
        n_before, best_before = len(figures), best
        figures += [measure(number, points[number]) for number in range(n_before, len(points))]
        recalls = [each["recall@10"] for each in figures]
        best = recalls.index(max(recalls))
        if best != best_before or n_before == 0:
            points += [each for each in around(points[best], given) if each not in points]
    return Search(points, figures, best)
