"""`llmi2i status`: what of the pipeline is done, running, stale (and why), interrupted or missing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmi2i_cli import __version__
from llmi2i_cli.runs.locks import holders
from llmi2i_cli.runs.manifests import input_changes, output_changes, read_manifest
from llmi2i_cli.runs.pipeline import STAGES, Stage

PROCESS_KEYS = ("pid", "host", "started_at", "shard", "doing", "done", "total")


def status(workdir: Path, *, verify: bool = False) -> list[dict[str, Any]]:
    """One row a stage and variant, in pipeline order.

    A stage is ``running`` while a process works on it, ``missing`` until it has run, ``partial`` when a run was
    interrupted, ``stale`` when its outputs or anything that it was made from changed since, else ``done``. Variants of
    which nothing is there are listed only, as one row, when that is so of all variants of a stage.

    A file of the size and time that a manifest tells counts as unchanged; with `verify` its contents are compared, too.

    Returns
    -------
    rows with the keys ``stage``, ``variant``, ``state``, ``why``, ``rows`` and ``seconds`` (of the last result), and
    ``running``: a list of the processes at work, each with `PROCESS_KEYS` (``shard`` is ``"2-of-8"`` or empty; ``done``
    of ``total`` steps of what it is ``doing``, null where it does not tell)
    """
    running = holders(workdir)
    rows: list[dict[str, Any]] = []
    stale_files: dict[str, str] = {}
    for stage in STAGES.values():
        found = [_row(workdir, stage, variant, running, stale_files, verify) for variant in stage.variants]
        present = [row for row in found if row["state"] != "missing"]
        if not present and not stage.name.endswith("-only"):
            present = [{**found[0], "variant": ""}]
        rows += present
    return rows


def _row(
    workdir: Path,
    stage: Stage,
    variant: Mapping[str, str],
    running: Sequence[Mapping[str, Any]],
    stale_files: dict[str, str],
    verify: bool,
) -> dict[str, Any]:
    result = _result(workdir, stage, variant, stale_files, verify)
    row = {"stage": stage.name, "variant": " ".join(variant.values()), **result}
    mine = [told for told in running if told.get("stage") == stage.name and told.get("variant") == variant]
    processes = [{key: told.get(key) for key in PROCESS_KEYS} for told in mine]
    if processes:
        row |= {"state": "running", "why": _told(processes)}
    return {**row, "running": processes}


def _result(
    workdir: Path, stage: Stage, variant: Mapping[str, str], stale_files: dict[str, str], verify: bool
) -> dict[str, str | int | float | None]:
    """State, reason, rows and seconds of what is in the stage's folder; adds its stale files to `stale_files`."""
    path = workdir / stage.folder / stage.manifest_name(variant)
    nothing = {"rows": None, "seconds": None}
    if not path.exists():
        if stage.partials(workdir, variant):
            return {"state": "partial", "why": "interrupted: the same command goes on", **nothing}
        return {"state": "missing", "why": "", **nothing}
    manifest = read_manifest(path)
    if manifest is None:
        return {"state": "stale", "why": f"{path} cannot be read", **nothing}
    upstream = (f"{name} is stale" for name in manifest["inputs"] if name in stale_files)
    why = (
        output_changes(workdir, stage, manifest, thoroughly=verify)
        or input_changes(manifest, workdir, thoroughly=verify)
        or next(upstream, "")
    )
    if not why and manifest["versions"].get("llmi2i") != __version__:
        why = f"made by llmi2i {manifest['versions'].get('llmi2i')}"
    if why:
        stale_files.update((f"{stage.folder}/{name}", why) for name in manifest["outputs"])
    counts = [entry["rows"] for entry in manifest["outputs"].values() if "rows" in entry]
    return {
        "state": "stale" if why else "done",
        "why": why,
        "rows": counts[0] if counts else None,
        "seconds": manifest["seconds"],
    }


def _told(processes: Sequence[Mapping[str, Any]]) -> str:
    """Who is at work since when and how far, in a line; of several shards how many, and the sum of their steps."""
    first = min(processes, key=lambda process: process["started_at"])
    who = f"{len(processes)} shards"
    if len(processes) == 1:
        shard = f"shard {first['shard'].replace('-', ' ')}, " if first["shard"] else ""
        host = "" if first["host"] == os.uname().nodename else f" on {first['host']}"
        who = f"{shard}pid {first['pid']}{host}"
    at_work = [process for process in processes if process["doing"] is not None]
    if not at_work:
        return f"{who} since {first['started_at']}"
    done, totals = sum(process["done"] for process in at_work), [process["total"] for process in at_work]
    total = "" if None in totals else f" of {sum(totals):,}"
    return f"{who} since {first['started_at']}, {at_work[0]['doing']}: {done:,}{total}"
