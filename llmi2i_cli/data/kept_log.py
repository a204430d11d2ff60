"""The clean log of the last run, kept so that a day can be appended without reading the days before it again.

``prepare/log/`` holds the buckets as they are before k-core, cap and split (``BUCKET-clean.parquet``), and in
``cuts.json`` what is known of the files that they came from. Cleaning old and new rows together is the same as cleaning
the kept rows with the new ones behind them, so nothing in the result tells how it came about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.formats import FORMATS
from llmi2i_cli.choices.preparation import PrepareOptions
from llmi2i_cli.data.gathering import Gathered, LogFile
from llmi2i_cli.errors import InputError, UsageError
from llmi2i_cli.files.atomic import write_json
from llmi2i_cli.files.documents import read_json
from llmi2i_cli.files.places import Place, place_of
from llmi2i_cli.runs.manifests import is_as_described
from llmi2i_cli.runs.pipeline import KEPT_LOG

CUTS = "cuts.json"
Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class CutFile:
    """What is known of an input file that has been cut: its interactions and its latest time (None without times)."""

    n_rows: int
    latest: int | None


@dataclass(frozen=True)
class KeptLog:
    """A clean log in buckets, and the files that it is of, in their order."""

    folder: Path
    cuts: Sequence[CutFile]

    @property
    def buckets(self) -> list[Path]:
        return sorted(self.folder.glob("*-clean.parquet"))

    @classmethod
    def read(cls, folder: Path) -> KeptLog:
        return cls(folder, [CutFile(**cut) for cut in read_json(folder / CUTS)])

    @staticmethod
    def write_cuts(folder: Path, cuts: Sequence[CutFile]) -> None:
        """Complete the folder of clean buckets."""
        write_json(folder / CUTS, [asdict(cut) for cut in cuts])


def behind(last: Manifest, given: Gathered, options: PrepareOptions) -> tuple[Gathered, PrepareOptions]:
    """The files of the last run with those that are new behind them, and its options.

    Catalogues and profiles are those that are given, or else the last run's.

    Raises
    ------
    InputError : a file of the last run is gone
    UsageError : an option is given that differs from the last run's, or files are held out
    """
    before = last["options"]
    if given.has_split_files or before["valid"] or before["test"]:
        raise UsageError("--append has no files for --valid and --test: run prepare with all files, without --append")
    known = {path for path, _ in before["logs"]}
    new = [log for log, (path, _) in zip(given.logs, given.as_json()["logs"], strict=True) if path not in known]
    logs = [*(LogFile(_found(path), FORMATS[form]) for path, form in before["logs"]), *new]
    if len({log.form.has_times for log in logs}) > 1:
        raise UsageError("--append: the new files and those of the last run have to agree in whether they have times")
    defaults, asked = (json.loads(json.dumps(each.flat(), default=str)) for each in (PrepareOptions(), options))
    for name, value in asked.items():
        if value != defaults[name] and value != before.get(name):
            option = "--" + name.replace("_", "-")
            raise UsageError(f"--append goes on with the options of the last run: leave out {option} {value}")
    items, users = (
        each or [_found(path) for path in before[name]]
        for name, each in (("items", given.items), ("users", given.users))
    )
    return Gathered(logs, items, users, given.notices), PrepareOptions.from_flat(before)


def _found(name: str) -> Place:
    place = place_of(name, Path())
    if place is None:
        raise InputError(f"{name}: no such file, and the last run has read it: put it back, or run without --append")
    return place


def usable(last: Manifest | None, folder: Path, given: Gathered) -> KeptLog | str:
    """The kept log of the last run, if `given` begins with its files as they were then; else why it is of no use.

    There is no reason, ``""``, where there is no last run.

    Parameters
    ----------
    folder : ``prepare/`` of the work directory
    """
    if last is None:
        return ""
    if KEPT_LOG + CUTS not in last["outputs"]:
        return "the last run was without --append"
    for name, entry in last["outputs"].items():
        path = folder / name
        if name.startswith(KEPT_LOG) and not (path.exists() and is_as_described(path, entry, thoroughly=True)):
            return f"{path} is missing or was changed"
    before = [path for path, _ in last["options"]["logs"]]
    for name in before:
        place = place_of(name, Path())
        if place is None or not is_as_described(place, last["inputs"].get(name, {"bytes": -1})):
            return f"{name} changed since"
    if [path for path, _ in given.as_json()["logs"]][: len(before)] != before:
        return "the files are others"
    return KeptLog.read(folder / KEPT_LOG)
