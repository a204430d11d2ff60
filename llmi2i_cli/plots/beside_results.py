"""Pictures beside the results of a stage: made from these alone, whenever they are asked for.

They are no part of what makes a stage up to date. A stage that publishes another result removes those of the former one
(see ``extras`` in `runs.pipeline`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from llmi2i_cli.errors import InputError
from llmi2i_cli.plots.drawing import write_picture, write_pictures
from llmi2i_cli.plots.evaluation import evaluation_figures
from llmi2i_cli.plots.gates import gates_figure
from llmi2i_cli.plots.sweep import sweep_figure
from llmi2i_cli.runs.disk_errors import one_line_of_the_disk
from llmi2i_cli.runs.progress import notice


def plot_evaluation(workdir: Path, evaluation: Mapping[str, Any]) -> None:
    """Draw what `evaluate` found, as ``evaluate/MODEL-DATA-SPLIT.NAME.png`` and ``.svg``."""
    label = "-".join(evaluation[part] for part in ("model", "data", "split"))
    figures = evaluation_figures(evaluation)
    _write(workdir, "evaluate", {f"{label}.{name}": figure for name, figure in figures.items()})


def plot_sweep(workdir: Path) -> None:
    """Draw what `fuse` has tried, as ``fuse/sweep.png`` and ``.svg``; a notice where it had nothing to choose."""
    path = workdir / "fuse" / "sweep.parquet"
    if not path.exists():
        notice("fuse: nothing was tuned, so there is no sweep to plot")
        return
    _write(workdir, "fuse", {"sweep": sweep_figure(pl.read_parquet(path, glob=False))})


def plot_gates(gates: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw what `compare` found, where the user wants it. InputError if it cannot be written."""
    try:
        write_picture(gates_figure(gates), path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error


def _write(workdir: Path, stage: str, figures: Mapping[str, Figure]) -> None:
    with one_line_of_the_disk(workdir):
        for path in write_pictures(figures, workdir / stage):
            notice(f"{stage}: {path}")
