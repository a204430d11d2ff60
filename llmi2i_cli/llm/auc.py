"""How well scores order each user's candidates: the area under the ROC curve, within a user."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def user_aucs(
    scores: NDArray[np.floating[Any]], labels: NDArray[np.bool_], ptr: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Of each user the share of (observed, other) candidate pairs that `scores` orders rightly, float64 (n_users,).

    Ties count half. NaN for a user who has not both kinds.
    """
    areas = np.full(len(ptr) - 1, np.nan)
    for user, (start, end) in enumerate(pairwise(ptr.tolist())):
        yes = labels[start:end]
        if yes.any() and not yes.all():
            difference = scores[start:end][yes][:, None] - scores[start:end][~yes][None]
            areas[user] = (difference > 0).mean() + 0.5 * (difference == 0).mean()
    return areas


def within_user_auc(scores: NDArray[np.floating[Any]], labels: NDArray[np.bool_], ptr: NDArray[np.int64]) -> float:
    """Mean of `user_aucs` over the users who have both kinds; NaN when none has."""
    areas = user_aucs(scores, labels, ptr)
    return float(np.nanmean(areas)) if (~np.isnan(areas)).any() else float("nan")
