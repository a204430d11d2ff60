"""What was measured of a setting, over its seeds: means, spreads, and paired intervals over users."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.evaluation.comparison import bootstrap_means, interval, relative_gain

METRIC = "recall@10"


@dataclass(frozen=True)
class Measured:
    """An evaluation, once for each seed.

    Attributes
    ----------
    reports : by seed, what ``evaluate/MODEL-DATA-test.json`` holds
    per_user : by seed, float64 (n_users,), Recall@10 of each user in the order of their ids
    path : of the JSON, as it is shown
    """

    reports: Mapping[str, Mapping[str, Any]]
    per_user: Mapping[str, NDArray[np.float64]]
    path: str

    def each(self, metric: str = METRIC, group: str = "all") -> list[float]:
        """The figure of each seed; of groups without targets NaN."""
        figures = [report["metrics"][group][metric] for report in self.reports.values()]
        return [np.nan if figure is None else figure for figure in figures]

    def mean(self, metric: str = METRIC, group: str = "all") -> float:
        return float(np.mean(self.each(metric, group)))

    def cell(self, metric: str = METRIC, group: str = "all") -> str:
        """The mean, and the standard deviation where seeds differ."""
        figures = self.each(metric, group)
        spread = np.std(figures, ddof=1) if len(figures) > 1 else 0.0
        return f"{np.mean(figures):.4f}" + (f" ± {spread:.4f}" if spread >= 0.00005 else "")

    def gain_over(self, other: Measured) -> str:
        """The relative gain in Recall@10, its interval, and where there are several seeds the extremes of theirs."""
        ours, theirs = self._paired(other)
        between = _interval(ours, theirs, relative_gain, "+.1%")
        seeds = relative_gain(ours.mean(axis=1), theirs.mean(axis=1))
        least, most = (f"{extreme:+.1%}" for extreme in (seeds.min(), seeds.max()))
        extremes = f"; seeds {least} .. {most}" if least != most else ""
        return f"{ours.mean() / theirs.mean() - 1:+.1%} ({between}{extremes})"

    def difference(self, other: Measured) -> float:
        """What this has more in Recall@10, on the seeds that both have."""
        ours, theirs = self._paired(other)
        return float(ours.mean() - theirs.mean())

    def lead_over(self, other: Measured) -> str:
        """The difference in Recall@10 and its interval."""
        ours, theirs = self._paired(other)
        return f"{self.difference(other):+.4f} ({_interval(ours, theirs, np.subtract, '+.4f')})"

    def _paired(self, other: Measured) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of the seeds that both have, float64 (n_seeds, n_users) each."""
        both = [seed for seed in self.per_user if seed in other.per_user]
        return np.stack([self.per_user[seed] for seed in both]), np.stack([other.per_user[seed] for seed in both])


def _interval(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], compare: Callable[..., NDArray[np.float64]], form: str
) -> str:
    """95% of the paired bootstrap over users, of the users' means over the seeds."""
    draws = bootstrap_means(np.stack([ours.mean(axis=0), theirs.mean(axis=0)], axis=1))
    found = interval(compare(draws[:, 0], draws[:, 1]))
    return " .. ".join(f"{bound:{form}}" for bound in found) if found else "no interval"


def measured(workdirs: Mapping[str, Path], name: str, split: str = "test") -> Measured | None:
    """The evaluation of ``MODEL-DATA`` in the work directories that have it, by seed; None where none has."""
    path = f"evaluate/{name}-{split}"
    found = {seed: workdir / path for seed, workdir in workdirs.items() if (workdir / f"{path}.json").exists()}
    if not found:
        return None
    reports = {seed: json.loads(Path(f"{stem}.json").read_text(encoding="utf-8")) for seed, stem in found.items()}
    users = {seed: pl.read_parquet(f"{stem}.users.parquet").sort("user_id") for seed, stem in found.items()}
    per_user = {seed: frame[METRIC].to_numpy() for seed, frame in users.items()}
    return Measured(reports, per_user, f"{path}.json")


@dataclass(frozen=True)
class Study:
    """The studies of a log: a directory for each seed, which holds the work directories of the settings.

    Attributes
    ----------
    log : the log's name
    seeds : the directory of each seed
    """

    log: str
    seeds: Mapping[str, Path]

    @classmethod
    def all_in(cls, work: Path) -> Iterator[Study]:
        """Every log that has a study under `work`, by name."""
        for folder in sorted(path for path in work.iterdir() if path.is_dir()):
            seeds = {path.name: path for path in sorted(folder.iterdir()) if (path / "base").is_dir()}
            if seeds:
                yield cls(folder.name, seeds)

    def workdirs(self, setting: str) -> dict[str, Path]:
        """The work directory of a setting for each seed, whether it is there or not."""
        return {seed: path / setting for seed, path in self.seeds.items()}

    def read(self, setting: str, name: str) -> Measured | None:
        """The evaluation of ``MODEL-DATA`` on test; its path has the setting, and the seeds if not all have it."""
        found = measured(self.workdirs(setting), name)
        if found is None:
            return None
        some = f" (seed {', '.join(found.reports)})" if len(found.reports) < len(self.seeds) else ""
        return Measured(found.reports, found.per_user, f"`{setting}/{found.path}`{some}")

    def manifests(self, path: str) -> dict[str, dict[str, Any]]:
        """The manifests at ``SETTING/STAGE/...`` of the seeds that have it."""
        files = {seed: folder / path for seed, folder in self.seeds.items()}
        return {seed: json.loads(file.read_text(encoding="utf-8")) for seed, file in files.items() if file.exists()}


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]) + "\n"
