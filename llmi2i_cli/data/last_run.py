"""The last run of `prepare`, which an appending run goes on from: its files come first, and its options hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.formats import FORMATS
from llmi2i_cli.choices.options import spelled
from llmi2i_cli.choices.preparation import PrepareOptions
from llmi2i_cli.data.gathering import Gathered, LogFile
from llmi2i_cli.errors import ArtifactError, InputError, UsageError, WorkdirError
from llmi2i_cli.files.places import Place, place_of
from llmi2i_cli.runs.manifests import read_manifest
from llmi2i_cli.runs.workdir import StageRun

REMEDY = "run prepare with all files, without --append"
Manifest = Mapping[str, Any]


def last_run(workdir: Path) -> Manifest | None:
    """The manifest of the last run, None where there was none. ArtifactError for one that is damaged."""
    path = workdir / "prepare" / "manifest.json"
    manifest = read_manifest(path)
    if manifest is None and path.exists():
        raise ArtifactError(f"{path} is damaged and no longer tells what was prepared: {REMEDY}")
    return manifest


def options_behind(last: Manifest, given: Mapping[str, Any]) -> PrepareOptions:
    """The options of the last run. UsageError for one that is given and differs."""
    options = PrepareOptions.from_flat(last["options"])
    held, asked = options.flat(), PrepareOptions.from_flat(given).flat()
    for name in given:
        if asked[name] != held[name]:
            raise UsageError(
                f"--append goes on with the options of the last run: leave out {spelled(name)} {given[name]}"
            )
    return options


def files_behind(last: Manifest, given: Gathered) -> Gathered:
    """The files of the last run with those that are new behind them.

    Catalogues and profiles are those that are given, or else the last run's.

    Raises
    ------
    InputError : a file of the last run is gone
    UsageError : the last run had files that are held out, or only some of the logs have times
    """
    before = last["options"]
    if before["valid"] or before["test"]:
        raise UsageError(f"--append has no files for --valid and --test, and the last run had: {REMEDY}")
    known = {path for path, _ in before["logs"]}
    new = [log for log in given.logs if str(log.path.resolve()) not in known]
    logs = [*(LogFile(_found(path), FORMATS[form]) for path, form in before["logs"]), *new]
    if len({log.form.has_times for log in logs}) > 1:
        raise UsageError("--append: the new files and those of the last run have to agree in whether they have times")
    items, users = (
        each or [_found(path) for path in before[name]]
        for name, each in (("items", given.items), ("users", given.users))
    )
    return Gathered(logs, items, users, given.notices)


def _found(name: str) -> Place:
    place = place_of(name, Path())
    if place is None:
        raise InputError(f"{name}: no such file, and the last run has read it: put it back, or run without --append")
    return place


def check_is_last(last: Manifest | None, run: StageRun) -> None:
    """See to it, while the lock of `run` is held, that what it goes on from is still what is there.

    Raises
    ------
    WorkdirError : another process has prepared meanwhile
    ArtifactError : there are tables, and nothing tells which files they are of
    """
    now = read_manifest(run.manifest_path)
    if (now and now["fingerprint"]) != (last and last["fingerprint"]):
        raise WorkdirError(f"{run.folder} was written by another process meanwhile: run the same command again")
    if now is None and any((run.folder / name).exists() for name in run.stage.writes):
        raise ArtifactError(f"{run.folder} has tables, but no manifest.json tells of which files: {REMEDY}")
