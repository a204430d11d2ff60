"""The part of a log that is prepared, by its own times: --since, --until and --days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import polars as pl

from llmi2i_cli.choices.preparation import CleanOptions
from llmi2i_cli.data.times import TICKS_PER_DAY, Clock, parse_times
from llmi2i_cli.errors import InputError, UsageError


@dataclass(frozen=True)
class Window:
    """Interactions from `start` on and before `end`, in the log's own unit; None leaves that end open."""

    start: int | None
    end: int | None
    clock: Clock

    @classmethod
    def of(cls, options: CleanOptions, clock: Clock) -> Self:
        """The window of a log.

        Raises
        ------
        UsageError : a bound that is neither a date nor a whole number
        InputError : a date or a number of days, and the log's times are no moments
        """
        start, end = moment("--since", options.since, clock), moment("--until", options.until, clock)
        if options.days is not None:
            clock.require_moments()
            start = (clock.latest + 1 if end is None else end) - options.days * TICKS_PER_DAY[clock.unit]
        return cls(start, end, clock)

    def keep(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The interactions within the window."""
        if self.start is not None:
            rows = rows.filter(pl.col("timestamp") >= self.start)
        return rows if self.end is None else rows.filter(pl.col("timestamp") < self.end)

    def nothing_left(self) -> InputError:
        """What to say when no interaction lies within it."""
        milliseconds = self.clock.latest * TICKS_PER_DAY["ms"] // TICKS_PER_DAY[self.clock.unit]
        date = pl.Series([milliseconds]).cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%d")[0]
        return InputError(
            "no interaction is left: all lie outside --since, --until or --days; "
            f"the latest has the time {self.clock.latest} ({date} when it counts {self.clock.unit}, see --time-unit)"
        )


def check_bounds(options: CleanOptions) -> None:
    """UsageError for a bound that is neither a date nor a whole number, before any log is read."""
    Window.of(options, Clock("s", 0))


def moment(option: str, given: str | None, clock: Clock) -> int | None:
    """A date (UTC without a zone) in what a log's times count since 1970, or a whole number as it is.

    Raises
    ------
    UsageError : it is neither
    InputError : a date, and the log's times are no moments
    """
    if given is None:
        return None
    times = parse_times(pl.Series([given]))
    value = times.values[0]
    if value is None:
        raise UsageError(f"{option} is a date (2026-01-31, 2026-01-31T12:00) or a whole number, not {given!r}")
    if not times.are_dates[0]:
        return int(value)
    clock.require_moments()
    return int(value) * TICKS_PER_DAY[clock.unit] // TICKS_PER_DAY["ms"]
