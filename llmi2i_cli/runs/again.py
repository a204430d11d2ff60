"""Whether the last result of a stage holds answers of the very model that is about to be asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmi2i_cli.runs.manifests import digests, output_changes, read_manifest
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import StageRun


def has_answers_of_the_same(run: StageRun, model: str, options: Sequence[str]) -> bool:
    """Whether the folder of `run` holds a whole result of the same model, versions and `options`.

    `model` is a directory of the work directory. A result that was changed since it was written does not count.
    """
    manifest = read_manifest(run.manifest_path)
    if manifest is None or output_changes(run.workdir, run.stage, manifest, thoroughly=True) is not None:
        return False
    return "questions.parquet" in manifest["outputs"] and _decisive(manifest, model, options) == _decisive(
        run.description, model, options
    )


def tell_kept(manifest: Mapping[str, Any] | None, stage: str) -> None:
    """Say of a finished run, by its manifest, how many users kept the rows of the last one."""
    if manifest and (kept := manifest["users_kept"]):
        notice(f"{stage}: {kept:,} of {manifest['users']:,} users are asked the same as last time and keep their rows")


def _decisive(about: Mapping[str, Any], model: str, options: Sequence[str]) -> list[Any]:
    files = {name: digest for name, digest in digests(about["inputs"]).items() if name.startswith(model)}
    return [files, about["versions"], {name: about["options"].get(name) for name in options}]
