"""The clean log of the last run, kept so that a day can be appended without reading the days before it again.

``prepare/log/`` holds the buckets as they are before k-core, cap and split (``BUCKET-clean.parquet``), and in
``cuts.json`` what is known of the files that they came from. Cleaning old and new rows together is the same as cleaning
the kept rows with the new ones behind them, so nothing in the result tells how it came about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.options import spelled
from llmi2i_cli.choices.preparation import PrepareOptions
from llmi2i_cli.files.atomic import write_json
from llmi2i_cli.files.documents import read_json
from llmi2i_cli.runs.manifests import digests, is_as_described
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


def usable(last: Manifest | None, now: Manifest, folder: Path) -> KeptLog | str:
    """The kept log of the last run, if this one begins with the same files and has the same options; else why not.

    There is no reason, ``""``, where there is no last run.

    Parameters
    ----------
    last : the manifest of the last run
    now : what the manifest of this run will say of it: ``options``, ``inputs`` and ``versions``
    folder : ``prepare/`` of the work directory
    """
    if last is None:
        return ""
    if KEPT_LOG + CUTS not in last["outputs"]:
        return "the last run was without --append"
    if (version := last["versions"].get("llmi2i")) != now["versions"]["llmi2i"]:
        return f"the last run was by llmi2i {version}"
    for name in PrepareOptions().flat():
        if (value := last["options"].get(name)) != now["options"][name]:
            return f"the last run had {value} for {spelled(name)}"
    for name, entry in last["outputs"].items():
        path = folder / name
        if name.startswith(KEPT_LOG) and not (path.exists() and is_as_described(path, entry, thoroughly=True)):
            return f"{path} is missing or was changed"
    before, files = (_logs(about["options"]) for about in (last, now))
    if files[: len(before)] != before:
        return "the files are others"
    was, found = digests(last["inputs"]), digests(now["inputs"])
    for path, *_ in before:
        if found[path] != was.get(path):
            return f"{path} changed since"
    return KeptLog.read(folder / KEPT_LOG)


def _logs(options: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Path, format and split of each log, in the order in which they are read."""
    return [(path, form, split) for split in ("logs", "valid", "test") for path, form in options[split]]
