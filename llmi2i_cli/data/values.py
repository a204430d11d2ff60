"""Columns of a log as what they stand for: ids, times, numbers and names, with the row of the first that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from llmi2i_cli.choices.preparation import Unit
from llmi2i_cli.data.table_file import LINE, TableFile
from llmi2i_cli.data.times import first_of_each_unit, parse_times
from llmi2i_cli.errors import InputError


def ids(table: TableFile, chunk: pl.DataFrame, column: str, option: str) -> pl.Series:
    """A column of ids as strings, for any table that has some.

    Raises
    ------
    InputError : a column of another type than text or whole numbers, or an id that is missing
    """
    values = chunk[column]
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)) or _is_whole(values.dtype):
        values = values.cast(pl.String)
    if values.dtype != pl.String:
        raise InputError(
            f"{table.path}: column {column!r} is {values.dtype}, and ids are text or whole numbers: "
            f"convert it, or name another column with {option}"
        )
    _refuse_missing(table, chunk, column, values.is_null() | (values.str.strip_chars() == "").fill_null(True))
    return values


@dataclass
class TimesSeen:
    """What the times of a file were so far, over its chunks.

    Attributes
    ----------
    told : the unit of numeric times, where the user says it; None: their size tells it
    are_dates : whether there were dates, and whether there were numbers
    unit : what the numbers look like
    """

    told: Unit | None = None
    are_dates: set[bool] = field(default_factory=set)
    unit: Unit | None = None


def times(table: TableFile, chunk: pl.DataFrame, column: str, seen: TimesSeen) -> pl.Series:
    """A column of times as Int64.

    Raises
    ------
    InputError : a column of another type, what is missing or no time, numbers beside dates or of two units
    """
    values = chunk[column]
    if not (values.dtype == pl.String or values.dtype.is_numeric() or values.dtype.is_temporal()):
        raise InputError(
            f"{table.path}: column {column!r} is {values.dtype}, and times are whole numbers or dates: "
            f"name another column with --time-column"
        )
    found = parse_times(values)
    refuse(table, chunk, column, found.values.is_null(), "not a whole number and not a date (2026-01-31)")
    seen.are_dates.update(found.are_dates.unique())
    if len(seen.are_dates) > 1:
        raise InputError(f"{table.path}: {column!r} holds numbers in some rows and dates in others: make them alike")
    if seen.told is None and False in seen.are_dates:
        for unit, row in first_of_each_unit(found.values):
            if seen.unit not in (None, unit):
                raise InputError(
                    f"{_where(table, chunk, row)}: {column!r} is {values[row]!r}, which looks like {unit} since 1970, "
                    f"where a row before it looks like {seen.unit}: make them alike, or say with --time-unit what all "
                    "of them count"
                )
            seen.unit = unit
    return found.values


def numbers(table: TableFile, chunk: pl.DataFrame, column: str, option: str) -> pl.Series:
    """A column of finite numbers as Float64; true is 1 and false is 0.

    Raises
    ------
    InputError : a column of another type, or what is missing or no number
    """
    values = chunk[column]
    if values.dtype == pl.String:
        text = values.str.strip_chars()
        found = text.str.to_lowercase().replace({"true": "1", "false": "0"}).cast(pl.Float64, strict=False)
    elif values.dtype.is_numeric() or values.dtype == pl.Boolean:
        found = values.cast(pl.Float64)
    else:
        raise InputError(
            f"{table.path}: column {column!r} is {values.dtype}, and numbers are needed: "
            f"name another column with {option}"
        )
    refuse(table, chunk, column, ~found.is_finite().fill_null(False), "not a number")
    return found


def names(table: TableFile, chunk: pl.DataFrame, column: str, option: str) -> pl.Series:
    """A column of a few different names (events, splits) as strings.

    Raises
    ------
    InputError : a column of another type than text, categories, whole numbers or Boolean, or a name that is missing
    """
    if chunk[column].dtype == pl.Boolean:
        chunk = chunk.with_columns(pl.col(column).cast(pl.String))
    return ids(table, chunk, column, option)


def require_among(
    table: TableFile, chunk: pl.DataFrame, column: str, values: pl.Series, known: Sequence[str], why: str
) -> None:
    """InputError for the first of `values` that is not `known`; it names all such of the chunk."""
    strange = ~values.is_in(list(known))
    place = _first(strange)
    if place is not None:
        listed = ", ".join(map(repr, values.filter(strange).unique(maintain_order=True)[:10]))
        raise InputError(f"{_where(table, chunk, place)}: {column!r} is {listed}: {why}")


def refuse(table: TableFile, chunk: pl.DataFrame, column: str, wrong: pl.Series, why: str) -> None:
    """InputError for the first row that is `wrong`, a mask."""
    place = _first(wrong)
    if place is not None:
        value = chunk[column][place]
        problem = "is missing" if value in (None, "") else f"is {value!r}: {why}"
        raise InputError(f"{_where(table, chunk, place)}: {column!r} {problem}")


def _is_whole(dtype: pl.DataType) -> bool:
    return dtype.is_integer() or (isinstance(dtype, pl.Decimal) and dtype.scale == 0)


def _refuse_missing(table: TableFile, chunk: pl.DataFrame, column: str, missing: pl.Series) -> None:
    place = _first(missing)
    if place is not None:
        raise InputError(f"{_where(table, chunk, place)}: {column!r} is missing")


def _where(table: TableFile, chunk: pl.DataFrame, place: int) -> str:
    return f"{table.path}, {table.row_word} {chunk[LINE][place]}"


def _first(mask: pl.Series) -> int | None:
    """Index of the first true value."""
    index = mask.arg_max()
    return index if index is not None and mask[index] else None
