"""The gates of `compare`: what a new index has to be like, beside the one that is served, to be published.

A gate ``min_X`` or ``max_X`` is the bound of the figure X (see `evaluation.index_comparison`).
"""

from __future__ import annotations

from dataclasses import dataclass

from llmi2i_cli.choices.options import option

RECALL_WHERE_KNOWN = 0.9


@dataclass(frozen=True)
class Gates:
    """Bounds that another day's log passes by far, and a broken table does not."""

    max_lost: float = option(0.05, "Share of OLD's rows that may be missing or empty in NEW.", min=0, max=1)
    min_coverage: float = option(0.8, "Different items among the first ten of all rows, as a multiple of OLD's.", min=0)
    min_overlap: float = option(0.2, "Mean share of a row's first ten that OLD and NEW have in common.", min=0, max=1)
    max_popularity: float = option(
        1.5, "Mean number of OLD's rows that name what a row's first ten hold, as a multiple of OLD's.", min=0
    )
    min_recall: float | None = option(
        None,
        "Validation Recall@10 as a multiple of OLD's, which then has to be known; "
        f"by default {RECALL_WHERE_KNOWN} where both are.",
        min=0,
    )
