"""`llmi2i report`: all that a work directory tells, on one page to look at and to pass on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.models import GENERATOR, MODELS, TableName, has_variant
from llmi2i_cli.errors import UsageError
from llmi2i_cli.plots.requirements import require_plots
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.states import State, states
from llmi2i_cli.runs.workdir import stage_run

Tables = tuple[TableName, TableName]  # before and after


def report(workdir: Path, *, model: str | None = None, force: bool = False) -> dict[str, Any]:
    """Write ``report/report.html``; returns the manifest.

    Any of the stages after `prepare` may be missing: the page tells what there is. It is made anew when a manifest, an
    evaluation, the sweep or a table that it shows has changed.

    Parameters
    ----------
    model : whose neighbours are shown, on the real log and on the fused one; None shows those of what was evaluated
        beside those of its baseline, else of a model with tables on both logs

    Raises
    ------
    PackageError : the extra ``plots`` is not installed
    UsageError : `model` does not read the log
    ArtifactError : nothing is prepared, or what is there is damaged
    """
    require_plots("llmi2i report")
    if model is not None and not has_variant(model, "fused"):
        raise UsageError(f"{model} does not read the log: there is nothing to compare")
    found = [state for state in states(workdir) if state.name != "missing" and state.stage.name != "report"]
    shown = _both_logs(model) if model else _tables(workdir, found)
    options = {
        "tables": shown,
        "name": workdir.resolve().name,
        "states": [(state.manifest_path, state.name, state.why) for state in found],
    }
    with stage_run(
        workdir, "report", options=options, also_reads=_inputs(workdir, found, shown), resumable=False, force=force
    ) as run:
        if run.up_to_date and run.manifest:
            notice(f"report is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.report.contents import read_contents
        from llmi2i_cli.report.page import render

        run.output("report.html").write_text(render(read_contents(workdir, found, shown)), encoding="utf-8")
        return run.publish()


def _both_logs(model: str) -> Tables:
    return TableName(model, "real"), TableName(model, "fused")


def _tables(workdir: Path, found: Sequence[State]) -> Tables | None:
    """What was evaluated and its baseline, of several the last in the table of models; else a model on both logs."""
    evaluated = []
    for state in found:
        if (
            state.stage.name == "evaluate"
            and state.manifest
            and (baseline := state.manifest["options"].get("baseline"))
        ):
            ours = TableName(state.variant["model"], state.variant["data"])
            theirs = TableName(*baseline.rsplit("-", 1)) if baseline != "real" else TableName(ours.model, "real")
            evaluated.append((theirs, ours))
    models = [*MODELS, GENERATOR]
    evaluated.sort(key=lambda pair: models.index(pair[1].model), reverse=True)
    for pair in (*evaluated, *map(_both_logs, reversed(list(MODELS)))):
        if all((workdir / table.path).exists() for table in pair):
            return pair
    return None


def _inputs(workdir: Path, found: Sequence[State], tables: Tables | None) -> list[str]:
    """What the page is made from, as far as it is there, relative to the work directory."""
    paths = [workdir / state.manifest_path for state in found]
    paths += [
        workdir / "evaluate" / f"{'-'.join(state.variant.values())}.json"
        for state in found
        if state.stage.name == "evaluate"
    ]
    paths.append(workdir / "fuse/sweep.parquet")
    if tables is not None:
        logs = ("prepare/interactions.parquet", "fuse/interactions.parquet")
        paths += [workdir / path for path in (*(table.path for table in tables), *logs)]
    return [str(path.relative_to(workdir)) for path in dict.fromkeys(paths) if path.exists()]
