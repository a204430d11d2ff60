"""What became of each stage in a work directory: done, stale and why, interrupted or missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llmi2i_cli import __version__
from llmi2i_cli.runs.manifests import input_changes, output_changes, read_manifest
from llmi2i_cli.runs.pipeline import STAGES, Stage


@dataclass(frozen=True)
class State:
    """What is in the folder of a stage, for one variant of it.

    Attributes
    ----------
    name : ``missing`` until it has run, ``partial`` when a run was interrupted, ``stale`` when its outputs or anything
        that it was made from changed since, else ``done``
    why : what made it stale, or what to do about it; empty where there is nothing to say
    manifest : of the last result, None without one that can be read
    """

    stage: Stage
    variant: Mapping[str, str]
    name: Literal["done", "stale", "partial", "missing"]
    why: str = ""
    manifest: Mapping[str, Any] | None = None

    @property
    def manifest_path(self) -> str:
        """Relative to the work directory."""
        return f"{self.stage.folder}/{self.stage.manifest_name(self.variant)}"


def states(workdir: Path, *, thoroughly: bool = False, ask_stores: bool = False) -> Iterator[State]:
    """The state of every variant of every stage, in pipeline order.

    Parameters
    ----------
    thoroughly : compare contents, too
    ask_stores : look at inputs in a cloud's store as well: a request for each
    """
    stale_files: dict[str, str] = {}
    for stage in STAGES.values():
        for variant in stage.variants:
            yield _state(workdir, stage, variant, stale_files, thoroughly, ask_stores)


def _state(
    workdir: Path,
    stage: Stage,
    variant: Mapping[str, str],
    stale_files: dict[str, str],
    thoroughly: bool,
    ask_stores: bool,
) -> State:
    """Adds what is stale of the stage's outputs to `stale_files`."""
    path = workdir / stage.folder / stage.manifest_name(variant)
    if not path.exists():
        if stage.partials(workdir, variant):
            return State(stage, variant, "partial", "interrupted: the same command goes on")
        return State(stage, variant, "missing")
    manifest = read_manifest(path)
    if manifest is None:
        return State(stage, variant, "stale", f"{path} cannot be read")
    upstream = (f"{name} is stale" for name in manifest["inputs"] if name in stale_files)
    why = (
        output_changes(workdir, stage, manifest, thoroughly=thoroughly)
        or input_changes(manifest, workdir, thoroughly=thoroughly, ask_stores=ask_stores)
        or next(upstream, "")
    )
    if not why and manifest["versions"].get("llmi2i") != __version__:
        why = f"made by llmi2i {manifest['versions'].get('llmi2i')}"
    if why:
        stale_files.update((f"{stage.folder}/{name}", why) for name in manifest["outputs"])
    return State(stage, variant, "stale" if why else "done", why, manifest)
