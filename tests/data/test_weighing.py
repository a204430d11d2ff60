"""What interactions count, in all types of columns that logs have."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from llmi2i_cli.choices.formats import FORMATS
from llmi2i_cli.choices.preparation import PrepareOptions
from llmi2i_cli.data.formats import detect_format
from llmi2i_cli.data.interactions import LogReader
from llmi2i_cli.errors import InputError, UsageError

EVENTS = ("view=0.25", "buy=1", "refund=0")


def read(path, **given):
    options = PrepareOptions.from_flat(given)
    options.check()
    chunks = LogReader(options).chunks(path, detect_format(path))
    return [row for chunk in chunks for row in chunk.iter_rows()]


def csv(tmp_path, text):
    (tmp_path / "log.csv").write_text(text)
    return tmp_path / "log.csv"


def parquet(tmp_path, **columns):
    frame = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "b"], "time": [1, 2], **columns})
    frame.write_parquet(tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


def test_events_weigh_what_they_are_told_to_and_nothing_leaves_a_row_out(tmp_path):
    path = csv(tmp_path, "user,item,time,event\nu,a,1,view\nu,a,2,buy\nv,,x,refund\n")  # of which nothing is looked at
    assert read(path, event_column="event", event_weight=EVENTS) == [("u", "a", 1, 0.25), ("u", "a", 2, 1.0)]


def test_a_column_of_weights_multiplies_with_the_events(tmp_path):
    path = csv(tmp_path, "user,item,time,event,n\nu,a,1,view,4\nu,a,2,buy,0.5\nv,a,3,buy,0\n")
    given = {"event_column": "event", "event_weight": EVENTS, "weight_column": "n"}
    assert read(path, **given) == [("u", "a", 1, 1.0), ("u", "a", 2, 0.5)]


def test_what_is_too_small_to_be_kept_is_left_out(tmp_path):
    path = csv(tmp_path, "user,item,time,n\nu,a,1,1e-50\nu,a,2,1e-30\n")
    assert read(path, weight_column="n") == [("u", "a", 2, pytest.approx(1e-30))]


def test_low_ratings_are_left_out_and_weigh_nothing_else(tmp_path):
    path = csv(tmp_path, "user,item,time,rating\nu,a,1,5\nu,b,2,3.5\nv,a,3,4\n")
    assert read(path, min_rating=4) == [("u", "a", 1), ("v", "a", 3)]


@pytest.mark.parametrize(
    "event",
    [
        pl.Series(["view", "buy"], dtype=pl.Categorical),
        pl.Series(["view", "buy"], dtype=pl.Enum(["buy", "view"])),
    ],
)
def test_events_are_text_of_any_type(tmp_path, event):
    path = parquet(tmp_path, event=event)
    found = read(path, event_column="event", event_weight=("view=0.5", "buy=2"))
    assert [row[3] for row in found] == [0.5, 2.0]


def test_events_are_numbers_and_truths_too(tmp_path):
    path = parquet(tmp_path, kind=pl.Series([3, 1], dtype=pl.Int8), bought=[True, False])
    assert [row[3] for row in read(path, event_column="kind", event_weight=("1=0.5", "3=2"))] == [2.0, 0.5]
    assert read(path, event_column="bought", event_weight=("true=1", "false=0")) == [("u", "a", 1, 1.0)]


@pytest.mark.parametrize(
    "weight",
    [
        [True, False],
        pl.Series([Decimal("1.00"), Decimal("0.00")]),
        ["1", " 0.0 "],
        ["true", "false"],
        pl.Series([1, 0], dtype=pl.UInt8),
    ],
)
def test_weights_are_numbers_of_any_type(tmp_path, weight):
    assert read(parquet(tmp_path, clicked=weight), weight_column="clicked") == [("u", "a", 1, 1.0)]


def test_ids_are_whole_numbers_of_any_type_and_times_too(tmp_path):
    user, time = pl.Series([Decimal(7), Decimal(8)]), pl.Series([Decimal(5), Decimal(6)])
    item = pl.Series([1, 2], dtype=pl.Int32)
    path = parquet(tmp_path, user_id=user, item_id=item, time=time)
    assert read(path) == [("7", "1", 5), ("8", "2", 6)]


@pytest.mark.parametrize(
    ("rows", "given", "message"),
    [
        (
            "u,a,1,view,1\nu,a,2,gaze,1\nu,a,3,look,1\n",
            {"event_column": "event", "event_weight": ("view=1",)},
            "log.csv, line 3: 'event' is 'gaze', 'look': give it an --event-weight",
        ),
        ("u,a,1,,1\n", {"event_column": "event", "event_weight": EVENTS}, "log.csv, line 2: 'event' is missing"),
        ("u,a,1,v,1\nu,a,1,v,-1\n", {"weight_column": "n"}, "log.csv, line 3: 'n' is '-1': a weight is at least 0"),
        ("u,a,1,v,nan\n", {"weight_column": "n"}, "log.csv, line 2: 'n' is 'nan': not a number"),
        ("u,a,1,v,1e39\n", {"weight_column": "n"}, "log.csv, line 2: 'n' is '1e39'"),
        ("u,a,1,v,\n", {"weight_column": "n"}, "log.csv, line 2: 'n' is missing"),
        ("u,a,1,v,1\n", {"weight_column": "m"}, "has no column 'm' .*: correct --weight-column"),
        ("u,a,1,v,1\n", {"min_rating": 4}, "has no column 'rating' .*: name the right one with --rating-column"),
        ("u,a,1,v,x\n", {"min_rating": 4, "rating_column": "n"}, "log.csv, line 2: 'n' is 'x': not a number"),
    ],
)
def test_mistakes_name_the_line_and_the_remedy(tmp_path, rows, given, message):
    with pytest.raises(InputError, match=message):
        read(csv(tmp_path, "user,item,time,event,n\n" + rows), **given)


def test_weights_of_another_type(tmp_path):
    path = parquet(tmp_path, n=[[1], [2]])
    with pytest.raises(InputError, match=r"column 'n' is List.*, and numbers are needed: .*--weight-column"):
        read(path, weight_column="n")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"event_weight": EVENTS}, "--event-weight needs the column of the events: name it with --event-column"),
        ({"target_event": ("buy",)}, "--target-event needs the column of the events"),
        ({"event_column": "e"}, "--event-column is for --event-weight or --target-event"),
        ({"event_column": "e", "event_weight": ("buy",)}, "--event-weight is EVENT=WEIGHT with .*, not 'buy'"),
        ({"event_column": "e", "event_weight": ("buy=-1",)}, "--event-weight is EVENT=WEIGHT"),
        ({"event_column": "e", "event_weight": ("buy=1", "buy=2")}, "--event-weight gives 'buy' two weights"),
        (
            {"event_column": "e", "event_weight": EVENTS, "target_event": ("refund",)},
            "--target-event refund is left out of the log",
        ),
        ({"rating_column": "r"}, "--rating-column is for --min-rating"),
        ({"weight_column": "user", "user_column": "user"}, "name the same column 'user'"),
    ],
)
def test_options_that_contradict_each_other(given, message):
    with pytest.raises(UsageError, match=message):
        PrepareOptions.from_flat(given).check()


def test_formats_without_columns_have_no_events(tmp_path):
    (tmp_path / "log.txt").write_text("u a b\n")
    options = PrepareOptions.from_flat({"weight_column": "n"})
    with pytest.raises(InputError, match="has no column 'n'"):
        list(LogReader(options).chunks(tmp_path / "log.txt", FORMATS["sequences"]))
