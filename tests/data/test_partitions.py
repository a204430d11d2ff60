import polars as pl
import pytest

from llmi2i_cli.choices.preparation import PrepareOptions
from llmi2i_cli.data.formats import detect_format
from llmi2i_cli.data.interactions import LogReader
from llmi2i_cli.data.partitions import partitions_of
from llmi2i_cli.errors import InputError


def read(path, **given):
    options = PrepareOptions.from_flat(given)
    chunks = LogReader(options).chunks(path, detect_format(path))
    return [row for chunk in chunks for row in chunk.iter_rows()]


def test_what_directories_tell(tmp_path):
    path = tmp_path / "dt=2026-11-20" / "kind=a%2Fb=c" / "x=__HIVE_DEFAULT_PARTITION__" / "part=0.csv"
    assert partitions_of(path) == {"dt": "2026-11-20", "kind": "a/b=c", "x": None}


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_columns_of_the_path_are_columns_where_they_are_asked_for(tmp_path, suffix):
    folder = tmp_path / "date=2026-11-20" / "event=buy"
    folder.mkdir(parents=True)
    frame, path = pl.DataFrame({"user": ["u"], "item": ["i"], "event_time": [5]}), folder / f"part.{suffix}"
    getattr(frame, f"write_{suffix.replace('jsonl', 'ndjson')}")(path)
    assert read(path) == [("u", "i", 5)]  # although "date" is a usual name of times
    assert read(path, time_column="date") == [("u", "i", 1_795_132_800_000)]
    events = {"event_column": "event", "event_weight": ("buy=0.5",), "target_event": ("buy",)}
    assert read(path, **events) == [("u", "i", 5, 0.5, True)]
    with pytest.raises(InputError, match="has no column 'hour'"):
        read(path, time_column="hour")


def test_a_column_of_the_file_comes_first_and_no_value_is_missing(tmp_path):
    folder = tmp_path / "ts=9" / "event=__HIVE_DEFAULT_PARTITION__"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("user,item,ts\nu,i,5\n")
    assert read(folder / "a.csv", time_column="ts") == [("u", "i", 5)]
    with pytest.raises(InputError, match=r"a.csv, line 2: 'event' is missing"):
        read(folder / "a.csv", event_column="event", event_weight=("buy=1",))
