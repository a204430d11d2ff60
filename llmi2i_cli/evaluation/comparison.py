"""How sure a figure, or the gain of one model over another, is: 95% intervals by the paired bootstrap over users.

A resample draws as many users as there are, with replacement, and takes both models' figures from the same users
(Efron & Tibshirani, 1993; Sakai, SIGIR 2006). Metrics of top-K rankings take few distinct values, so users are grouped
by equal values of all columns and a resample is one multinomial draw over the groups: the same distribution at a
fraction of the work.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000  # with 2,000 the end of an interval at a small tail changes sign with the seed
SEED = 42
COVERAGE = 0.95
DRAWN_AT_ONCE = 1 << 22  # counts held in memory


def bootstrap_means(
    values: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = SEED
) -> NDArray[np.float64]:
    """Column means of resampled users.

    Parameters
    ----------
    values : float64 (n_users, n_columns), n_users > 0; columns of the same users are resampled together

    Returns
    -------
    float64 (resamples, n_columns)
    """
    groups, counts = np.unique(values, axis=0, return_counts=True)  # (n_groups, n_columns)
    n_users = len(values)
    rng = np.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // len(groups))
    means = [
        rng.multinomial(n_users, counts / n_users, size=min(at_once, resamples - start)) @ groups / n_users
        for start in range(0, resamples, at_once)
    ]
    return np.concatenate(means)


def interval(draws: NDArray[np.float64]) -> tuple[float, float] | None:
    """The central 95% of bootstrap draws (percentile method); None when some are not finite."""
    if not len(draws) or not np.isfinite(draws).all():
        return None
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def relative_gain(ours: NDArray[np.float64], baseline: NDArray[np.float64]) -> NDArray[np.float64]:
    """``ours / baseline - 1``, NaN where the baseline is 0."""
    ours, baseline = np.asarray(ours, float), np.asarray(baseline, float)
    return np.divide(ours, baseline, out=np.full(baseline.shape, np.nan), where=baseline > 0) - 1
