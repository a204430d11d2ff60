from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

from llmi2i_cli.data.times import infer_unit, parse_times


def parse(*values):
    times = parse_times(pl.Series(values))
    return times.values.to_list(), times.are_dates.to_list()


def test_whole_numbers_are_kept_as_they_are_given():
    values, are_dates = parse("12", " 7 ", "-3", "1.0", "1.2e9", "1373414400.0", "9007199254740993")
    assert values == [12, 7, -3, 1, 1_200_000_000, 1_373_414_400, 9_007_199_254_740_993]
    assert not any(are_dates)
    assert parse(3, -4) == ([3, -4], [False, False])
    assert parse(3.0, -4.0) == ([3, -4], [False, False])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1.5",
        "nan",
        "inf",
        "1e30",
        "2014-13-01",
        "2014-02-30",
        "2014-01-01T24:00",
        "2014-01-01 10:60",
        "2014-01-01T00:00:00+99:99",
        "2014-01-01T00:00:00+24:00",
        "2014-01-01T00:00:00+01:60",
    ],
)
def test_what_is_no_time_is_null(text):
    assert parse(text) == ([None], [False])


def test_fractions_and_missing_numbers_are_null():
    assert parse(1.5, float("nan"), None, 1e30, 2.0)[0] == [None, None, None, None, 2]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2014-05-01", datetime(2014, 5, 1, tzinfo=UTC)),
        ("1969-12-31", datetime(1969, 12, 31, tzinfo=UTC)),
        ("2014-05-01 12:30", datetime(2014, 5, 1, 12, 30, tzinfo=UTC)),
        ("2014-05-01T12:30:15Z", datetime(2014, 5, 1, 12, 30, 15, tzinfo=UTC)),
        ("2014-05-01T12:30:15.25 UTC", datetime(2014, 5, 1, 12, 30, 15, 250_000, tzinfo=UTC)),
        ("2014-05-01T12:30:15.123999", datetime(2014, 5, 1, 12, 30, 15, 123_000, tzinfo=UTC)),
        ("2014-05-01T12:30:15+05:30", datetime(2014, 5, 1, 12, 30, 15, tzinfo=timezone(timedelta(hours=5.5)))),
        ("2014-05-01T12:30-0500", datetime(2014, 5, 1, 12, 30, tzinfo=timezone(-timedelta(hours=5)))),
    ],
)
def test_dates_are_milliseconds_since_1970(text, moment):
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse(text) == ([expected], [True])


def test_typed_dates_are_milliseconds():
    assert parse(date(1970, 1, 2)) == ([86_400_000], [True])
    assert parse(datetime(1970, 1, 1, 0, 0, 1)) == ([1000], [True])


@pytest.mark.parametrize("year", [1974, 2014, 2026, 2100])
def test_the_unit_follows_from_the_magnitude(year):
    seconds = int(datetime(year, 7, 1, tzinfo=UTC).timestamp())
    for factor, unit in ((1, "s"), (10**3, "ms"), (10**6, "us"), (10**9, "ns")):
        assert infer_unit(seconds * factor) == unit
