"""The part of a log that is prepared, by its own times: --since, --until and --days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import polars as pl

from llmi2i_cli.choices.preparation import CleanOptions, Unit
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
        """The window of a log. UsageError for a bound that is neither a date nor a whole number."""
        start, end = moment("--since", options.since, clock.unit), moment("--until", options.until, clock.unit)
        if options.days is not None:
            last = clock.latest if end is None else min(clock.latest, end - 1)
            start = last + 1 - options.days * TICKS_PER_DAY[clock.unit]
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


def moment(option: str, given: str | None, unit: Unit) -> int | None:
    """A date (UTC without a zone) or a whole number, in a unit since 1970.

    Raises
    ------
    UsageError : it is neither
    """
    if given is None:
        return None
    times = parse_times(pl.Series([given]))
    value = times.values[0]
    if value is None:
        raise UsageError(f"{option} is a date (2026-01-31, 2026-01-31T12:00) or a whole number, not {given!r}")
    return int(value) * TICKS_PER_DAY[unit] // TICKS_PER_DAY["ms"] if times.are_dates[0] else int(value)
