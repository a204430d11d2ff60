"""What a report tells, gathered from a work directory in which any of the stages may have run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from matplotlib.figure import Figure

from llmi2i_cli.artifacts.schemas import read_artifact
from llmi2i_cli.choices.models import TableName
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.i2i.origins import compare_neighbours
from llmi2i_cli.plots.evaluation import evaluation_figures, largest_k
from llmi2i_cli.plots.gains import gains_figure
from llmi2i_cli.plots.sweep import sweep_figure
from llmi2i_cli.report.evaluations import (
    Evaluation,
    gains_of_models,
    headline,
    popularity_rows,
    read_evaluation,
    result_rows,
)
from llmi2i_cli.report.example_items import ExampleItems, example_items
from llmi2i_cli.runs.manifests import read_manifest
from llmi2i_cli.runs.states import State

NEIGHBOURS = 5  # shown of each item, on each log
Found = TypeVar("Found")


@dataclass
class Contents:
    """A report's sections; what is None, or empty, has not been run.

    Attributes
    ----------
    name : of the work directory
    tables : whose neighbours are compared, before and after
    summary : what `prepare` counted
    best : the evaluation that the page begins with
    k : the cut-off of all figures
    figures : drawn, by name
    fused : the manifest of `fuse`
    compared : the example items with their neighbours, group by group
    reasons : why something that was run is not shown
    """

    name: str
    states: Sequence[State]
    tables: tuple[TableName, TableName] | None
    summary: Mapping[str, Any] = field(default_factory=dict)
    best: Evaluation | None = None
    k: int | None = None
    results: list[dict[str, Any]] = field(default_factory=list)
    popularity: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    fused: Mapping[str, Any] | None = None
    compared: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of all runs together."""
        return float(sum(state.manifest["seconds"] for state in self.states if state.manifest))


def read_contents(workdir: Path, states: Sequence[State], tables: tuple[TableName, TableName] | None) -> Contents:
    """Gather what there is.

    Parameters
    ----------
    states : of what has run
    tables : those whose neighbours are shown, before and after; None where there are none to compare
    """
    contents = Contents(workdir.resolve().name, states, tables)
    items = read_artifact(workdir, "prepare/items.parquet")
    prepared = read_manifest(workdir / "prepare/manifest.json") or {}
    contents.summary = prepared.get("summary", {"items": len(items)})
    _add_results(contents, workdir)
    contents.fused = read_manifest(workdir / "fuse/manifest.json")
    if (workdir / "fuse/sweep.parquet").exists():
        contents.figures["sweep"] = sweep_figure(pl.read_parquet(workdir / "fuse/sweep.parquet", glob=False))
    if tables is not None:
        compared = _or_reason(contents, lambda: _compared(workdir, tables, example_items(items)))
        contents.compared = compared or []
    return contents


def _add_results(contents: Contents, workdir: Path) -> None:
    paths = [
        f"evaluate/{'-'.join(state.variant.values())}.json"
        for state in contents.states
        if state.stage.name == "evaluate"
    ]
    read = [_or_reason(contents, lambda path=path: read_evaluation(workdir, path)) for path in paths]  # type: ignore[misc]
    evaluations = [evaluation for evaluation in read if evaluation is not None]
    best = contents.best = headline(evaluations, contents.tables and contents.tables[1])
    if best is None:
        return
    k = contents.k = largest_k(best)
    contents.results = result_rows(evaluations, k)
    contents.popularity = popularity_rows(best, k)
    contents.figures |= evaluation_figures(best)
    contents.figures.pop("gains", None)  # of one model; here all models' stand together
    if gains := gains_of_models(evaluations, k, split=best["split"]):
        title = f"What is gained, by model ({best['split']} split)"
        contents.figures["gains"] = gains_figure(gains, title=title, metric=f"Recall@{k}", over="its baseline")


def _compared(
    workdir: Path, tables: tuple[TableName, TableName], groups: Sequence[ExampleItems]
) -> list[tuple[str, list[dict[str, Any]]]]:
    before, after = tables
    item_ids = [item_id for group in groups for item_id in group.item_ids]
    compared = compare_neighbours(workdir, item_ids, before=before, after=after, top_n=NEIGHBOURS)
    found = {each["item_id"]: each for each in compared}
    return [(group.label, [found[item_id] for item_id in group.item_ids]) for group in groups]


def _or_reason(contents: Contents, read: Callable[[], Found]) -> Found | None:
    try:
        return read()
    except ArtifactError as error:
        contents.reasons.append(str(error))
        return None
