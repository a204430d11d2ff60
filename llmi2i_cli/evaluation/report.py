"""What `evaluate` reports: figures of each group of targets with intervals, and gains over a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.evaluation.comparison import bootstrap_means, interval, relative_gain
from llmi2i_cli.evaluation.groups import FIGURES, GROUPS, Group
from llmi2i_cli.evaluation.metrics import PerUserMetrics, per_user_metrics, rank_of_targets, shares


def metrics_by_group(
    ranked: NDArray[np.int32], targets: Histories, catalogue: Catalogue, ks: Sequence[int]
) -> dict[Group, PerUserMetrics]:
    """Per-user metrics of each of `GROUPS`.

    Parameters
    ----------
    ranked : int32 (n_users, at least max(ks)), item indices, best first
    targets : the held-out items of the same users, each once
    """
    ranks = rank_of_targets(ranked, targets)
    return {
        group: per_user_metrics(
            ranks, targets, ks=ks, relevant=None if group.members is None else group.members(catalogue)
        )
        for group in GROUPS
    }


def shares_by_group(
    ranked: NDArray[np.int32], catalogue: Catalogue, ks: Sequence[int]
) -> dict[Group, dict[str, float]]:
    """What share of the first K places goes to the items of each of `GROUPS`; `ranked` as in `metrics_by_group`."""
    everything = np.ones(catalogue.n_items, bool)
    return {
        group: shares(ranked, ks, everything if group.members is None else group.members(catalogue)) for group in GROUPS
    }


def figures(
    metrics: Mapping[Group, PerUserMetrics],
    shares: Mapping[Group, Mapping[str, float]],
    baseline: Mapping[Group, PerUserMetrics] | None = None,
) -> dict[str, Any]:
    """What is told of each group, by the group's name: `FIGURES`, the intervals being those of the metrics, of 95%.

    With a baseline, of the same users, also ``gain`` (0.25 = +25%) and ``gain_intervals``, from the same resamples.
    What does not exist is null: a metric of a group without targets, a gain where the baseline has 0. The groups of a
    family stand together, under its name.
    """
    by_group: dict[str, Any] = {}
    for group, per_user in metrics.items():
        means = per_user.means() if len(per_user.users) else dict.fromkeys(per_user.names)
        values = (per_user.n_targets, per_user.hits, shares[group], means, _intervals(per_user))
        figures_of_group: dict[str, Any] = dict(zip(FIGURES, values, strict=True))
        if baseline:
            figures_of_group |= _gain(per_user, baseline[group])
        family = by_group if group.family is None else by_group.setdefault(group.family, {})
        for name, figure in figures_of_group.items():
            family.setdefault(name, {})[group.name] = figure
    return by_group


def _intervals(per_user: PerUserMetrics) -> dict[str, tuple[float, float] | None]:
    draws = bootstrap_means(per_user.values) if len(per_user.users) else np.empty((0, len(per_user.names)))
    return {name: interval(draws[:, column]) for column, name in enumerate(per_user.names)}


def _gain(ours: PerUserMetrics, baseline: PerUserMetrics) -> dict[str, dict[str, Any]]:
    width = len(ours.names)
    if len(ours.users):
        draws = bootstrap_means(np.hstack([ours.values, baseline.values]))
        ratios = relative_gain(draws[:, :width], draws[:, width:])
        exact = relative_gain(ours.values.mean(axis=0), baseline.values.mean(axis=0))
    else:
        ratios, exact = np.empty((0, width)), np.full(width, np.nan)
    return {
        "gain": {name: _or_null(exact[column]) for column, name in enumerate(ours.names)},
        "gain_intervals": {name: interval(ratios[:, column]) for column, name in enumerate(ours.names)},
    }


def targets_in_query(targets: Histories, queries: Histories) -> int:
    """How many targets their user's query already holds: with seen items left out, nothing can hit them."""

    n_items = max(targets.n_items, queries.n_items)

    def pairs(log: Histories) -> NDArray[np.int64]:
        return log.user_of_each().astype(np.int64) * n_items + log.items

    return int(np.isin(pairs(targets), pairs(queries)).sum())


def _or_null(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
