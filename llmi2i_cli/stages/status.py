"""`llmi2i status`: what of the pipeline is done, stale (and why) or missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmi2i_cli import __version__
from llmi2i_cli.runs.manifests import input_changes, output_changes, read_manifest
from llmi2i_cli.runs.pipeline import STAGES, Stage


def status(workdir: Path) -> list[dict[str, Any]]:
    """One row a stage and variant, in pipeline order.

    A stage is ``missing`` until it has run, ``partial`` when a run was interrupted, ``stale`` when its outputs or
    anything that it was made from changed since, else ``done``. Variants that have never run are listed only
    when their stage has no result at all.

    Returns
    -------
    rows with the keys ``stage``, ``variant``, ``state``, ``why``, ``rows``, ``seconds``
    """
    rows: list[dict[str, Any]] = []
    stale_folders: dict[str, str] = {}
    for stage in STAGES.values():
        found = [_row(workdir, stage, path, stale_folders) for path in _manifests(workdir, stage)]
        if not found and not stage.name.endswith("-only"):
            interrupted = any(stage.partials(workdir, variant) for variant in stage.variants)
            state = "partial" if interrupted else "missing"
            why = "interrupted: the same command goes on" if interrupted else ""
            found = [{"stage": stage.name, "variant": "", "state": state, "why": why, "rows": None, "seconds": None}]
        rows += found
    return rows


def _manifests(workdir: Path, stage: Stage) -> list[Path]:
    names = dict.fromkeys(stage.manifest_name(variant) for variant in stage.variants)
    paths = [workdir / stage.folder / name for name in names]
    if stage.name == "evaluate":  # any split
        paths = sorted((workdir / stage.folder).glob("*.manifest.json"))
    return [path for path in paths if path.exists()]


def _row(workdir: Path, stage: Stage, path: Path, stale: dict[str, str]) -> dict[str, Any]:
    manifest = read_manifest(path)
    row: dict[str, Any] = {"stage": stage.name, "variant": "", "state": "stale", "rows": None, "seconds": None}
    if manifest is None:
        return {**row, "why": f"{path} cannot be read"}
    upstream = (f"{name} is stale" for name in manifest["inputs"] if name in stale)
    why = output_changes(workdir, stage, manifest) or input_changes(manifest, workdir) or next(upstream, "")
    if not why and manifest["versions"].get("llmi2i") != __version__:
        why = f"made by llmi2i {manifest['versions'].get('llmi2i')}"
    if why:
        stale.update((f"{stage.folder}/{name}", why) for name in manifest["outputs"])
    counts = [entry["rows"] for entry in manifest["outputs"].values() if "rows" in entry]
    return {
        **row,
        "variant": " ".join(manifest["variant"].values()),
        "state": "stale" if why else "done",
        "why": why,
        "rows": counts[0] if counts else None,
        "seconds": manifest["seconds"],
    }
