"""Which files the inputs stand for, and which of them are logs: a data set's folder holds more than its log."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmi2i_cli.choices.formats import FORMATS, InputFormat
from llmi2i_cli.data.formats import suffix_of
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.cloud import check_url, find_objects, is_url
from llmi2i_cli.files.places import Place
from llmi2i_cli.files.table_folder import TableFolder, table_folder_at

# What data sets are accompanied by, in a directory: never a log.
DOCUMENTS = ("README", "LICENSE", "LICENCE", "NOTICE", "CITATION", "CHANGELOG")
DOCUMENT_SUFFIXES = (".md", ".rst", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".html", ".pdf")


@dataclass(frozen=True)
class Inputs:
    """The files of the inputs by what they hold, each in the order of the inputs; `others` are not read."""

    logs: Sequence[Place]
    items: Sequence[Place]
    users: Sequence[Place]
    others: Sequence[Place]


def expand_inputs(inputs: Iterable[str | Path]) -> list[Place]:
    """Replace each pattern (``logs/*.csv``, ``logs/**/*.parquet``) and each directory by its files, sorted by name.

    Directories are taken with all that lies in them; names that start with ``.`` or ``_`` are left out. A URL stands
    for an object of a cloud's store, all objects below it, or those that match it as a pattern.

    Raises
    ------
    InputError : a path does not exist, a pattern matches nothing, a directory holds no file, or a store gives no answer
    """
    return [place for given in inputs for place in _expand(str(given))]


def _expand(given: str) -> Sequence[Place]:
    if is_url(given):
        check_url(given)
        try:
            folder = table_folder_at(given)
            return [folder] if folder else find_objects(given)
        except OSError as error:
            raise InputError(f"{given} cannot be read: {error.strerror}") from error
    if Path(given).exists():
        return _at(Path(given))
    if not glob.has_magic(given):
        raise InputError(f"{given}: no such file")
    matches = [match for match in map(Path, sorted(glob.glob(given, recursive=True))) if not _is_hidden(match.name)]  # noqa: PTH207
    if not matches:
        raise InputError(f"{given}: matches no file")
    found = dict.fromkeys(place for match in matches for place in _at(match))  # ** matches a directory and its files
    tables = [f"{place}/" for place in found if isinstance(place, TableFolder)]
    return [place for place in found if not str(place).startswith(tuple(tables))]


def _at(path: Path) -> Sequence[Place]:
    if not path.is_dir():
        return [path]
    table = table_folder_at(str(path))
    return [table] if table else _files_in(path)


def _files_in(folder: Path) -> list[Path]:
    for log in (row.folder_log for row in FORMATS.values() if row.folder_log):
        for mark in sorted(folder.rglob(log)):
            if table := table_folder_at(str(mark.parent)):  # not all of its files count
                raise InputError(f"{table}, within {folder}, is a table of {table.form.name}: name it itself")
    below = (path for path in folder.rglob("*") if path.is_file())
    found = sorted(path for path in below if not _is_hidden(*path.relative_to(folder).parts))
    if not found:
        raise InputError(f"{folder}: the directory holds no file")
    return found


def _is_hidden(*names: str) -> bool:
    return any(name.startswith((".", "_")) for name in names)


def sort_inputs(inputs: Sequence[str | Path], asked: InputFormat | None) -> Inputs:
    """Tell the logs from what lies beside them, by the names that the formats have for it.

    Parameters
    ----------
    inputs : files, and directories, of which documents (a README, a licence, YAML) are left out
    asked : the format that the logs are said to have; its names alone count then

    Raises
    ------
    InputError : a path does not exist, or there is no log among the files
    """
    rows = [asked] if asked else list(FORMATS.values())
    logs, items, users, others = [], [], [], []
    files = expand_inputs(inputs)
    named = set(map(str, inputs))
    for path in files:
        suffix = suffix_of(path)
        if any(suffix in row.item_suffixes for row in rows):
            items.append(path)
        elif any(suffix in row.user_suffixes for row in rows):
            users.append(path)
        elif any(suffix in row.other_suffixes for row in rows) or (str(path) not in named and _is_document(path)):
            others.append(path)
        else:
            logs.append(path)
    if not logs:
        raise InputError(
            f"{inputs[0]}: no log is among the inputs, which hold {', '.join(path.name for path in files)}"
        )
    return Inputs(logs, items, users, others)


def _is_document(path: Place) -> bool:
    return path.stem.upper() in DOCUMENTS or suffix_of(path) in DOCUMENT_SUFFIXES
