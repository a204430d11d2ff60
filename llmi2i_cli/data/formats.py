"""Telling a file's format by the table of formats, and opening it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from llmi2i_cli.choices.formats import FORMATS, InputFormat
from llmi2i_cli.choices.loading import load
from llmi2i_cli.data.compression import COMPRESSED_SUFFIXES
from llmi2i_cli.data.json_lines import JsonLinesFile
from llmi2i_cli.data.table_file import TableFile
from llmi2i_cli.data.text import check_readable, first_lines
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.places import Place
from llmi2i_cli.files.table_folder import TableFolder


def suffix_of(path: Place) -> str:
    """The ending of a file's name in lower case, without that of its compression."""
    return (path.with_suffix("") if path.suffix.lower() in COMPRESSED_SUFFIXES else path).suffix.lower()


def detect_format(path: Place) -> InputFormat:
    """Tell a file's format by its name, and by its first lines where the name leaves it open.

    Raises
    ------
    InputError : missing, empty or binary, or neither name nor contents are of a format in the table
    """
    if isinstance(path, TableFolder):
        return path.form
    check_readable(path)
    with path.open("rb") as handle:
        start = handle.read(16)
    for row in FORMATS.values():
        if row.magic and start.startswith(row.magic):
            return row
    of_name = [row for row in FORMATS.values() if suffix_of(path) in row.all_suffixes]
    if len(of_name) == 1:
        return of_name[0]
    lines = first_lines(path)
    for row in of_name or FORMATS.values():
        if row.recognises is not None and load(row.recognises)(lines):
            return row
    if of_name:
        return of_name[-1]
    raise InputError(f"{path}: neither its name nor its first line tells what it is: name it with --format")


def resolve_formats(files: Sequence[Place], asked: InputFormat | None) -> list[tuple[Place, InputFormat]]:
    """Pair each log file with its format: the one that was asked for, or each file's own.

    Raises
    ------
    InputError : a file is unreadable, or files without times stand beside others that have them
    """
    found = [(path, asked or detect_format(path)) for path in files]
    untimed = next(((path, row) for path, row in found if not row.has_times), None)
    timed = next(((path, row) for path, row in found if row.has_times), None)
    if untimed and timed:
        raise InputError(
            f"{untimed[0]} reads as {untimed[1].name}, which have no times, and {timed[0]} as {timed[1].name}: "
            f"give them to separate runs, or say what they are with --format"
        )
    return found


def open_table(path: Place, form: InputFormat) -> TableFile:
    """Open a file of a format.

    Raises
    ------
    InputError : the file is missing, damaged or not of this format
    """
    table: TableFile = load(form.open)(path)
    return table


def open_catalogue(path: Place, option: str) -> tuple[TableFile, InputFormat]:
    """Open a file about items or users, given with `option`, and tell its format.

    Raises
    ------
    InputError : the file is missing, damaged or has no named columns
    """
    form = detect_format(path)
    if not form.has_named_columns:
        able = ", ".join(row.name for row in FORMATS.values() if row.has_named_columns)
        raise InputError(f"{path}: {option} needs a file with named columns ({able}), and this reads as {form.name}")
    return open_table(path, form), form


def descriptions(table: TableFile, key: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """`TableFile.chunks` of a file about items or users, where values may nest: the column of ids `key`, and others."""
    if isinstance(table, JsonLinesFile):
        return table.descriptions(key, columns)
    return table.chunks([key], columns)
