import polars as pl
import pytest

from llmi2i_cli.choices.preparation import CleanOptions
from llmi2i_cli.data.times import TICKS_PER_DAY, Clock
from llmi2i_cli.data.window import Window
from llmi2i_cli.errors import InputError, UsageError

DAY = 86_400


def kept(times, unit, **options):
    window = Window.of(CleanOptions(**options), Clock(unit, max(times)))
    return window.keep(pl.DataFrame({"timestamp": times}))["timestamp"].to_list()


def test_since_is_included_and_until_is_not():
    assert kept([1, 2, 3, 4], "s", since="2", until="4") == [2, 3]
    assert kept([-2, -1, 0, 1], "s", until="0") == [-2, -1]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_are_midnight_utc_in_the_logs_own_unit(unit):
    days = [day * TICKS_PER_DAY[unit] for day in (20_000, 20_001, 20_002)]  # 2024-10-04, ...
    times = [each for day in days for each in (day - 1, day)]
    assert kept(times, unit, since="2024-10-05") == times[3:]
    assert kept(times, unit, until="2024-10-05") == times[:3]
    assert kept(times, unit, since="2024-10-05T02:00+02:00") == times[3:]


def test_days_count_back_from_the_latest_or_from_until():
    times = [0, 1, DAY, DAY + 1, 2 * DAY]
    assert kept(times, "s", days=1) == [DAY + 1, 2 * DAY]
    assert kept(times, "s", days=1, until=str(DAY + 1)) == [1, DAY]
    assert kept(times, "s", days=9) == times
    assert kept(times, "s", days=8, until=str(9 * DAY)) == [DAY, DAY + 1, 2 * DAY]  # though the log ends before


@pytest.mark.parametrize("options", [{"days": 30}, {"since": "2026-11-01"}, {"until": "2026-11-01"}])
def test_dates_written_as_numbers_are_no_moments(options):
    dates = [20261019, 20261120]
    with pytest.raises(InputError, match=r"dates written as numbers, the latest is 20261120: write them as 2026-01-31"):
        kept(dates, "s", **options)
    assert kept(dates, "s", since="20261101") == [20261120]  # they have an order
    told = Window.of(CleanOptions(**options), Clock("s", max(dates), is_told=True))
    assert told.clock.unit == "s"


@pytest.mark.parametrize("given", ["yesterday", "2024-13-01", "2024-10", "1.5", ""])
def test_what_is_no_time(given):
    with pytest.raises(UsageError, match=r"--until is a date .* or a whole number, not"):
        Window.of(CleanOptions(until=given), Clock("s", 5))
