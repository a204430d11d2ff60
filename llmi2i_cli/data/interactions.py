"""Inputs of any format as one stream of interactions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from llmi2i_cli.choices.formats import InputFormat
from llmi2i_cli.data.columns import ITEM_NAMES, TIME_NAMES, USER_NAMES, require_column
from llmi2i_cli.data.formats import open_table
from llmi2i_cli.data.table_file import LINE, TableFile
from llmi2i_cli.data.times import parse_times
from llmi2i_cli.errors import InputError

SCHEMA = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}


@dataclass(frozen=True)
class LogReader:
    """Reads interactions out of log files.

    Attributes
    ----------
    user_column, item_column, time_column : names of the columns, where a file names its own; None takes the first of
        the usual names
    """

    user_column: str | None = None
    item_column: str | None = None
    time_column: str | None = None

    def chunks(self, path: Path, form: InputFormat) -> Iterator[pl.DataFrame]:
        """Yield a file's interactions in its order: user_id, item_id (String), timestamp (Int64).

        The timestamp is null in every row of a format without times, and in no row of another.

        Raises
        ------
        InputError : the file is unreadable, a column missing or of the wrong type, an id or a time missing or wrong
        """
        table = open_table(path, form)

        def column(names: Sequence[str], asked: str | None, option: str) -> str:
            return require_column(table, names, asked if form.has_named_columns else None, option)

        user = column(USER_NAMES, self.user_column, "--user-column")
        item = column(ITEM_NAMES, self.item_column, "--item-column")
        time = [column(TIME_NAMES, self.time_column, "--time-column")] if form.has_times else []
        dates_seen: set[bool] = set()
        for chunk in table.chunks(list(dict.fromkeys((user, item, *time)))):
            users = ids(table, chunk, user, "--user-column")
            items = ids(table, chunk, item, "--item-column")
            times = _times(table, chunk, time[0], dates_seen) if time else pl.repeat(None, len(chunk), eager=True)
            yield pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times}, schema=SCHEMA)


def ids(table: TableFile, chunk: pl.DataFrame, column: str, option: str) -> pl.Series:
    """A column of ids as strings, for any table that has some.

    Raises
    ------
    InputError : a column of another type than text or whole numbers, or an id that is missing
    """
    values = chunk[column]
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)) or values.dtype.is_integer():
        values = values.cast(pl.String)
    if values.dtype != pl.String:
        raise InputError(
            f"{table.path}: column {column!r} is {values.dtype}, and ids are text or whole numbers: "
            f"convert it, or name another column with {option}"
        )
    missing = _first(values.is_null() | (values == "").fill_null(True))
    if missing is not None:
        raise InputError(f"{table.path}, {table.row_word} {chunk[LINE][missing]}: {column!r} is missing")
    return values


def _times(table: TableFile, chunk: pl.DataFrame, column: str, dates_seen: set[bool]) -> pl.Series:
    """A column of times as Int64; `dates_seen` remembers, over the chunks of a file, whether they were dates."""
    values = chunk[column]
    if not (values.dtype == pl.String or values.dtype.is_numeric() or values.dtype.is_temporal()):
        raise InputError(
            f"{table.path}: column {column!r} is {values.dtype}, and times are whole numbers or dates: "
            f"name another column with --time-column"
        )
    times = parse_times(values)
    wrong = _first(times.values.is_null())
    if wrong is not None:
        where = f"{table.path}, {table.row_word} {chunk[LINE][wrong]}"
        if values[wrong] in (None, ""):
            raise InputError(f"{where}: {column!r} is missing")
        raise InputError(f"{where}: {column!r} is {values[wrong]!r}: not a whole number and not a date (2026-01-31)")
    dates_seen.update(times.are_dates.unique())
    if len(dates_seen) > 1:
        raise InputError(f"{table.path}: {column!r} holds numbers in some rows and dates in others: make them alike")
    return times.values


def _first(mask: pl.Series) -> int | None:
    """Index of the first true value."""
    index = mask.arg_max()
    return index if index is not None and mask[index] else None
