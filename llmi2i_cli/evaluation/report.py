"""What `evaluate` reports: figures of all, long-tail and other targets with intervals, and gains over a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.evaluation.comparison import bootstrap_means, interval, relative_gain
from llmi2i_cli.evaluation.metrics import PerUserMetrics, per_user_metrics, rank_of_targets

GROUPS = ("all", "long_tail", "other")


def metrics_by_group(
    ranked: NDArray[np.int32], targets: Histories, is_long_tail: NDArray[np.bool_], ks: Sequence[int]
) -> dict[str, PerUserMetrics]:
    """Per-user metrics of each of `GROUPS`.

    Parameters
    ----------
    ranked : int32 (n_users, at least max(ks)), item indices, best first
    targets : the held-out items of the same users, each once
    is_long_tail : bool (n_items,)
    """
    ranks = rank_of_targets(ranked, targets)
    relevant = {"all": None, "long_tail": is_long_tail, "other": ~is_long_tail}
    return {group: per_user_metrics(ranks, targets, ks=ks, relevant=relevant[group]) for group in GROUPS}


def figures(metrics: Mapping[str, PerUserMetrics]) -> dict[str, Any]:
    """``metrics`` and, beside them, their 95% ``intervals``, by group and name; null for a group without targets."""
    intervals: dict[str, dict[str, Any]] = {}
    for group, per_user in metrics.items():
        draws = bootstrap_means(per_user.values) if len(per_user.users) else np.empty((0, len(per_user.names)))
        intervals[group] = {name: interval(draws[:, column]) for column, name in enumerate(per_user.names)}
    return {"metrics": {group: _means(per_user) for group, per_user in metrics.items()}, "intervals": intervals}


def gains(ours: Mapping[str, PerUserMetrics], baseline: Mapping[str, PerUserMetrics]) -> dict[str, Any]:
    """``gain`` (0.25 = +25%) and ``gain_intervals`` from the same resampled users; null where the baseline has 0."""
    gain: dict[str, dict[str, float | None]] = {}
    intervals: dict[str, dict[str, Any]] = {}
    for group, per_user in ours.items():
        names, theirs = per_user.names, baseline[group].values
        width = len(names)
        if len(per_user.users):
            draws = bootstrap_means(np.hstack([per_user.values, theirs]))
            ratios = relative_gain(draws[:, :width], draws[:, width:])
            exact = relative_gain(per_user.values.mean(axis=0), theirs.mean(axis=0))
        else:
            ratios, exact = np.empty((0, width)), np.full(width, np.nan)
        gain[group] = {name: _or_null(exact[column]) for column, name in enumerate(names)}
        intervals[group] = {name: interval(ratios[:, column]) for column, name in enumerate(names)}
    return {"gain": gain, "gain_intervals": intervals}


def targets_in_query(targets: Histories, queries: Histories) -> int:
    """How many targets their user's query already holds: with seen items left out, nothing can hit them."""

    n_items = max(targets.n_items, queries.n_items)

    def pairs(log: Histories) -> NDArray[np.int64]:
        return log.user_of_each().astype(np.int64) * n_items + log.items

    return int(np.isin(pairs(targets), pairs(queries)).sum())


def _means(per_user: PerUserMetrics) -> dict[str, float | None]:
    return dict(per_user.means()) if len(per_user.users) else dict.fromkeys(per_user.names)


def _or_null(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
