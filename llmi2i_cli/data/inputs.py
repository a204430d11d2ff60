"""Which files the inputs stand for, and which of them are logs: a data set's folder holds more than its log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmi2i_cli.choices.formats import FORMATS, InputFormat
from llmi2i_cli.data.formats import suffix_of
from llmi2i_cli.errors import InputError

# What data sets are accompanied by, in a directory: never a log.
DOCUMENTS = ("README", "LICENSE", "LICENCE", "NOTICE", "CITATION", "CHANGELOG")
DOCUMENT_SUFFIXES = (".md", ".rst", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".html", ".pdf")


@dataclass(frozen=True)
class Inputs:
    """The files of the inputs by what they hold, each in the order of the inputs; `others` are not read."""

    logs: Sequence[Path]
    items: Sequence[Path]
    users: Sequence[Path]
    others: Sequence[Path]


def expand_inputs(paths: Iterable[Path]) -> list[Path]:
    """Replace each directory by the files in it, sorted by name; names that start with ``.`` or ``_`` are left out.

    Raises
    ------
    InputError : a path does not exist, or a directory holds no file
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith((".", "_")))
            if not found:
                raise InputError(f"{path}: the directory holds no file")
            files += found
        else:
            files.append(path)
    return files


def sort_inputs(paths: Sequence[Path], asked: InputFormat | None) -> Inputs:
    """Tell the logs from what lies beside them, by the names that the formats have for it.

    Parameters
    ----------
    paths : files, and directories, of which documents (a README, a licence, YAML) are left out
    asked : the format that the logs are said to have; its names alone count then

    Raises
    ------
    InputError : a path does not exist, or there is no log among the files
    """
    rows = [asked] if asked else list(FORMATS.values())
    logs, items, users, others = [], [], [], []
    files = expand_inputs(paths)
    for path in files:
        suffix = suffix_of(path)
        if any(suffix in row.item_suffixes for row in rows):
            items.append(path)
        elif any(suffix in row.user_suffixes for row in rows):
            users.append(path)
        elif any(suffix in row.other_suffixes for row in rows) or (path not in paths and _is_document(path)):
            others.append(path)
        else:
            logs.append(path)
    if not logs:
        raise InputError(f"{paths[0]}: no log is among the inputs, which hold {', '.join(path.name for path in files)}")
    return Inputs(logs, items, users, others)


def _is_document(path: Path) -> bool:
    return path.stem.upper() in DOCUMENTS or suffix_of(path) in DOCUMENT_SUFFIXES
