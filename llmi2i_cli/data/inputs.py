"""Which files the inputs stand for, and which of them are logs: a data set's folder holds more than its log."""

from __future__ import annotations

import glob
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
    """Replace each pattern (``logs/*.csv``, ``logs/**/*.parquet``) and each directory by its files, sorted by name.

    Directories are taken with all that lies in them. Names that start with ``.`` or ``_`` are left out.

    Raises
    ------
    InputError : a path does not exist, a pattern matches nothing, or a directory holds no file
    """
    files: list[Path] = []
    for path in paths:
        matches = [path] if path.exists() else sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
        if not matches:
            raise InputError(f"{path}: {'matches no file' if glob.has_magic(str(path)) else 'no such file'}")
        files += [file for match in matches for file in (_files_in(match) if match.is_dir() else [match])]
    return files


def _files_in(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
    if not found:
        raise InputError(f"{folder}: the directory holds no file")
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


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
