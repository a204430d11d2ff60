import gzip
import json
from datetime import date, datetime

import polars as pl
import pytest

from llmi2i_cli.choices.formats import FORMATS
from llmi2i_cli.choices.preparation import PrepareOptions, ReadOptions
from llmi2i_cli.data.formats import detect_format
from llmi2i_cli.data.interactions import LogReader
from llmi2i_cli.errors import InputError


def read(path, form=None, **columns):
    row = FORMATS[form] if form else detect_format(path)
    reader = LogReader(PrepareOptions(read=ReadOptions(**columns)))
    return [interaction for chunk in reader.chunks(path, row) for interaction in chunk.iter_rows()]


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


EXPECTED = [("u1", "007", 5), ("ü 2", "8", 3)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "item_id,user_id,price,timestamp\n007,u1,1.5,5\n8,ü 2,,3\n"),
        ("a.tsv.gz", "user\titem\ttime\nu1\t007\t5.0\nü 2\t8\t3\n"),
        ("a.jsonl", '{"userId": "u1", "itemId": "007", "ts": 5, "x": []}\n{"userId": "ü 2", "itemId": 8, "ts": "3"}\n'),
        ("a.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\t007\t1\t5.0\nü 2\t8\t2\t3\n"),
    ],
)
def test_every_format_gives_the_same_interactions(tmp_path, name, content):
    assert read(write(tmp_path, name, content)) == EXPECTED


def test_sequences_have_no_times(tmp_path):
    assert read(write(tmp_path, "a.txt", "u 1 2\n")) == [("u", "1", None), ("u", "2", None)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"reviewerID": "A", "asin": "B0", "unixReviewTime": 1_400_000_000}, ("A", "B0", 1_400_000_000)),
        (
            {"reviewerID": "A", "asin": "B0", "verified": True, "reviewTime": "05 1, 2014", "unixReviewTime": 5},
            ("A", "B0", 5),
        ),
        (
            {"user_id": "A", "asin": "B1", "parent_asin": "B0", "timestamp": 1_588_687_728_923},
            ("A", "B0", 1588687728923),
        ),
    ],
)
def test_amazon_reviews_of_2014_2018_and_2023(tmp_path, line, expected):
    assert read(write(tmp_path, "reviews.jsonl.gz", json.dumps(line) + "\n")) == [expected]


@pytest.mark.parametrize(
    ("users", "items", "times", "expected"),
    [
        ([1, 2], ["a", "b"], [5, 3], [("1", "a", 5), ("2", "b", 3)]),
        (pl.Series(["x", "y"], dtype=pl.Categorical), [7, 8], [5.0, 3.0], [("x", "7", 5), ("y", "8", 3)]),
        (["x"], ["a"], [date(1970, 1, 2)], [("x", "a", 86_400_000)]),
        (["x"], ["a"], [datetime(1970, 1, 1, 0, 0, 2)], [("x", "a", 2000)]),
        (["x"], ["a"], ["1970-01-01T00:00:02"], [("x", "a", 2000)]),
    ],
)
def test_parquet_columns_may_have_any_type_that_says_the_same(tmp_path, users, items, times, expected):
    pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times}).write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == expected


def test_parquet_is_read_in_batches_and_rows_are_counted_over_them(tmp_path, monkeypatch):
    monkeypatch.setattr("llmi2i_cli.data.scanned_table.BATCH_ROWS", 10)
    users = [f"u{i}" for i in range(95)]
    frame = pl.DataFrame({"user_id": users, "item_id": users, "timestamp": range(95)})
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=25)
    assert [row[2] for row in read(tmp_path / "a.parquet")] == list(range(95))
    one_missing = pl.Series([*users[:57], None, *users[58:]])
    frame.with_columns(user_id=one_missing).write_parquet(tmp_path / "a.parquet", row_group_size=25)
    with pytest.raises(InputError, match=r"a.parquet, row 58: 'user_id' is missing"):
        read(tmp_path / "a.parquet")


def test_columns_that_the_user_names_win(tmp_path):
    path = write(tmp_path, "a.csv", "user_id,item_id,timestamp,buyer,sku,at\nx,y,1,u,i,2\n")
    assert read(path, user_column="buyer", item_column="sku", time_column="at") == [("u", "i", 2)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user_id,item_id,timestamp\nu,i,1\n,i,2\n", "a.csv, line 3: 'user_id' is missing"),
        ("user_id,item_id,timestamp\nu,i,1\n\nu,,2\n", "a.csv, line 4: 'item_id' is missing"),
        ("user_id,item_id,timestamp\nu,i,1\nu,i,\n", "a.csv, line 3: 'timestamp' is missing"),
        ("user_id,item_id,timestamp\nu,i,soon\n", "a.csv, line 2: 'timestamp' is 'soon': not a whole number"),
        ("user_id,item_id,timestamp\nu,i,1.5\n", "a.csv, line 2: 'timestamp' is '1.5': not a whole number"),
        ("user_id,item_id,timestamp\nu,i\n", "a.csv, line 2: 2 fields where the first line names 3 columns"),
        (
            "user_id,item_id,timestamp\nu,i,1\nu,i,2020-01-01\n",
            "a.csv: 'timestamp' holds numbers in some rows and dates",
        ),
        ("user_id,sku,timestamp\n", r"no column 'item_id' \(found: user_id, sku, timestamp\): .* --item-column"),
        ("u1,i1,1\n", r"no column 'user_id' \(found: u1, i1, 1\): name the right one with --user-column"),
    ],
)
def test_a_wrong_row_or_column_is_named(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read(write(tmp_path, "a.csv", content))


@pytest.mark.parametrize(
    ("first", "odd", "units"), [(1_400_000_000, 1_400_000_000_000, "ms s"), (10**18, 14 * 10**14, "us ns")]
)
def test_a_time_that_looks_like_another_unit_is_named(tmp_path, first, odd, units):
    times = [5, first, first + 10**7, 0, odd]
    pl.DataFrame({"user_id": "u", "item_id": "i", "timestamp": times}).write_parquet(tmp_path / "a.parquet")
    looks_like, before = units.split()
    with pytest.raises(InputError, match=rf"a.parquet, row 5: .* looks like {looks_like} .* before it .* {before}:"):
        read(tmp_path / "a.parquet")
    assert [row[2] for row in read(tmp_path / "a.parquet", time_unit="s")] == times


def test_a_column_that_the_user_misspelt_is_named_with_those_found(tmp_path):
    path = write(tmp_path, "a.csv", "user_id,item_id,timestamp\n")
    with pytest.raises(
        InputError, match=r"no column 'itm' \(found: user_id, item_id, timestamp\): correct --item-column"
    ):
        read(path, item_column="itm")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("user_id", [1.5], "column 'user_id' is Float64, and ids are text or whole numbers.*--user-column"),
        ("item_id", [[1]], r"column 'item_id' is List\(Int64\), and ids are"),
        ("timestamp", [True], "column 'timestamp' is Boolean, and times are .*--time-column"),
        ("timestamp", [1.5], "row 1: 'timestamp' is 1.5: not a whole number"),
        ("timestamp", [None], "row 1: 'timestamp' is missing"),
        ("item_id", [""], "row 1: 'item_id' is missing"),
    ],
)
def test_parquet_columns_of_the_wrong_type_are_named(tmp_path, column, values, message):
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [1]})
    dtype = pl.Int64 if values == [None] else None
    frame.with_columns(pl.Series(column, values, dtype)).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("keep", [10, 200, -8])
def test_a_cut_parquet_file_is_refused(tmp_path, keep):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [1]}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a.parquet cannot be read as Parquet"):
        read(path)


def test_damage_inside_a_parquet_file_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    names = [f"user {i * i}" for i in range(1000)]
    pl.DataFrame({"user_id": names, "item_id": names, "timestamp": range(1000)}).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[20:400] = bytes(380)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a.parquet cannot be read as Parquet"):
        read(path)
