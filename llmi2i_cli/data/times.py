"""Times of interactions as Int64: whole numbers as they are given, dates as milliseconds since 1970 (UTC)."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from llmi2i_cli.choices.preparation import Unit
from llmi2i_cli.errors import InputError

TICKS_PER_DAY: dict[Unit, int] = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}

# From 1973 to 5138 a number of seconds lies below 1e11, of milliseconds between 1e11 and 1e14, and so on.
_UPPER_BOUNDS: tuple[tuple[int, Unit], ...] = ((10**11, "s"), (10**14, "ms"), (10**17, "us"))

_ISO = (
    r"^(?<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?<hour>\d{2}):(?<minute>\d{2})(?::(?<second>\d{2})(?:[.,](?<fraction>\d{1,9}))?)?)?"
    r" ?(?<zone>Z|UTC|(?<sign>[+-])(?<zone_hour>\d{2}):?(?<zone_minute>\d{2})?)?$"
)


DATES_AS_NUMBERS = (1900_01_01, 2100_12_31)


@dataclass(frozen=True)
class Clock:
    """What the times of a log count since 1970, the latest of them, and whether the user says what they count."""

    unit: Unit
    latest: int
    is_told: bool = False

    def require_moments(self) -> None:
        """InputError for dates written as numbers (20260131): in their order, but no moments to count days between."""
        if not self.is_told and DATES_AS_NUMBERS[0] <= self.latest <= DATES_AS_NUMBERS[1]:
            raise InputError(
                f"the times look like dates written as numbers, the latest is {self.latest}: write them as 2026-01-31, "
                "or say with --time-unit what they count since 1970"
            )


@dataclass(frozen=True)
class Times:
    """A column of times.

    Attributes
    ----------
    values : Int64, null where there is none
    are_dates : Boolean, where the value is milliseconds made from a date
    """

    values: pl.Series
    are_dates: pl.Series


# A smaller number is a moment before 1973, in whatever unit, or no moment at all: it tells no unit.
TELLS_A_UNIT = 10**8


def infer_unit(latest: int) -> Unit:
    """The unit of times since 1970 whose latest is `latest`, by its magnitude; right from 1973 on."""
    return next((unit for bound, unit in _UPPER_BOUNDS if abs(latest) < bound), "ns")


def first_of_each_unit(numbers: pl.Series) -> list[tuple[Unit, int]]:
    """The units that times look like, by their magnitudes, and the first row of each; in the order of the rows."""
    size, low = numbers.abs(), TELLS_A_UNIT
    found: list[tuple[int, Unit]] = []
    for high, unit in (*_UPPER_BOUNDS, (2**63 - 1, "ns")):
        fits = size.is_between(low, high, closed="left")
        if (row := fits.arg_max()) is not None and fits[row]:
            found.append((row, unit))
        low = high
    return [(unit, row) for row, unit in sorted(found)]


def parse_times(column: pl.Series) -> Times:
    """Read a column of numbers, dates or text. What is not a time (a fraction, a word, an empty text) becomes null."""
    dtype = column.dtype
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return Times(column.dt.epoch("ms"), pl.repeat(True, len(column), eager=True))
    if dtype == pl.String:
        return _parse_text(column)
    if dtype.is_numeric():
        return Times(_whole(column), pl.repeat(False, len(column), eager=True))
    return Times(pl.Series(column.name, [None] * len(column), pl.Int64), pl.repeat(False, len(column), eager=True))


def _whole(numbers: pl.Series) -> pl.Series:
    """Numbers as Int64, null where there is a fraction, no number or no room."""
    if not numbers.dtype.is_integer():
        numbers = numbers.cast(pl.Float64)
        numbers = numbers.set(numbers.is_nan() | (numbers != numbers.floor()), None)
    return numbers.cast(pl.Int64, strict=False)


def _parse_text(column: pl.Series) -> Times:
    text = column.str.strip_chars()
    values = text.cast(pl.Int64, strict=False)
    if values.null_count():
        values = values.zip_with(values.is_not_null(), _whole(text.cast(pl.Float64, strict=False)))
    if not values.null_count():
        return Times(values, pl.repeat(False, len(column), eager=True))
    are_numbers = values.is_not_null()
    dates = _parse_dates(text)
    return Times(values.zip_with(are_numbers, dates), ~are_numbers & dates.is_not_null())


def _parse_dates(text: pl.Series) -> pl.Series:
    """Milliseconds since 1970 of ISO 8601 dates and times; without a zone they are UTC. Null where there is none."""
    parts = text.str.extract_groups(_ISO).struct.unnest()
    part = {name: parts[name].cast(pl.Int64, strict=False).fill_null(0) for name in parts.columns[1:]}
    days = parts["date"].str.to_date("%Y-%m-%d", strict=False).dt.epoch("d").cast(pl.Int64)
    seconds = (part["hour"] * 60 + part["minute"]) * 60 + part["second"]
    milliseconds = parts["fraction"].fill_null("").str.pad_end(3, "0").str.slice(0, 3).cast(pl.Int64)
    offset = (part["zone_hour"] * 60 + part["zone_minute"]) * 60
    offset = offset.zip_with(parts["sign"].fill_null("+") == "+", -offset)
    valid = (part["hour"] < 24) & (part["minute"] < 60) & (part["second"] < 60)
    valid &= (part["zone_hour"] < 24) & (part["zone_minute"] < 60)
    return ((days * 86_400 + seconds - offset) * 1000 + milliseconds).set(~valid, None)
