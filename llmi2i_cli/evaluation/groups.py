"""The groups of targets that `evaluate` tells apart, one row each; figures, intervals, hits and gains follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmi2i_cli.artifacts.prepared import Catalogue

BY_TRAIN_COUNT = "by_train_count"
FIGURES = ("targets", "hits", "shares", "metrics", "intervals")  # what is told of each group


@dataclass(frozen=True)
class Group:
    """A row of the table.

    Attributes
    ----------
    name : in the JSON
    members : which items of the catalogue, bool (n_items,); None is every target, those outside the catalogue, too
    family : under which name the JSON has the group and its like; None is at the top
    """

    name: str
    members: Callable[[Catalogue], NDArray[np.bool_]] | None
    family: str | None = None


def _bought(name: str, least: int, most: float) -> Group:
    """Items that train holds `least` to `most` times."""
    return Group(name, lambda items: (items.train_counts >= least) & (items.train_counts <= most), BY_TRAIN_COUNT)


GROUPS = (
    Group("all", None),
    Group("long_tail", lambda items: items.is_long_tail),
    Group("other", lambda items: ~items.is_long_tail),
    _bought("0", 0, 0),
    _bought("1", 1, 1),
    _bought("2-5", 2, 5),
    _bought("6-20", 6, 20),
    _bought("21+", 21, math.inf),
)
ALL = GROUPS[0]
