import zlib

import polars as pl
import pytest

from llmi2i_cli.data.buckets import bucket_of, concatenate, n_buckets_for, read_bucket, write_buckets
from llmi2i_cli.files.tables import sink_table, write_table


def test_the_hash_is_fixed_and_spreads():
    users = pl.Series(["1", "2", "ü", "1"])
    expected = [(zlib.crc32(user.encode()) * 2_654_435_761 % 2**32) * 5 // 2**32 for user in users]
    assert bucket_of(users, 5).to_list() == expected
    sizes = bucket_of(pl.Series([f"u{i}" for i in range(10_000)]), 8).value_counts()["count"].to_list()
    assert len(sizes) == 8
    assert 1000 < min(sizes) <= max(sizes) < 1500


@pytest.mark.parametrize("n_buckets", [1, 3])
@pytest.mark.parametrize("buffered_rows", [1, 7, 1000])
def test_each_bucket_holds_its_users_rows_in_order(tmp_path, n_buckets, buffered_rows):
    rows = pl.DataFrame({"user_id": [f"u{i % 11}" for i in range(100)], "place": range(100)})
    chunks = [rows[start : start + 9] for start in range(0, 100, 9)]
    n_rows = write_buckets(chunks[:6], tmp_path / "a", n_buckets, buffered_rows=buffered_rows)
    n_rows += write_buckets(chunks[6:], tmp_path / "b", n_buckets, buffered_rows=buffered_rows)
    assert n_rows == 100
    for bucket in range(n_buckets):
        expected = rows.filter(bucket_of(rows["user_id"], n_buckets) == bucket)
        found = read_bucket([tmp_path / "a", tmp_path / "b"], bucket)
        assert found is not None
        assert found.equals(expected)


def test_an_empty_bucket_is_none(tmp_path):
    write_buckets([], tmp_path / "a", 2)
    assert read_bucket([tmp_path / "a"], 1) is None


def test_the_number_of_buckets_follows_the_size_of_the_text(tmp_path):
    plain, packed = tmp_path / "a.csv", tmp_path / "b.parquet"
    plain.write_bytes(b"x" * 100)
    packed.write_bytes(b"PAR1" + b"x" * 16)
    assert n_buckets_for([plain], 100) == 1
    assert n_buckets_for([plain], 99) == 2
    assert n_buckets_for([plain, packed], 100) == 2


def test_parts_follow_each_other_in_one_file(tmp_path):
    parts = []
    for number in (2, 0, 1):
        parts.append(tmp_path / f"{number}.parquet")
        pl.DataFrame({"x": [number, number + 10]}).write_parquet(parts[-1])
    concatenate(parts, tmp_path / "all.parquet", metadata={"key": "value"})
    assert pl.read_parquet(tmp_path / "all.parquet")["x"].to_list() == [2, 12, 0, 10, 1, 11]
    assert pl.read_parquet_metadata(tmp_path / "all.parquet")["key"] == "value"
    assert {path.name for path in tmp_path.iterdir()} == {"0.parquet", "1.parquet", "2.parquet", "all.parquet"}


def test_one_part_is_its_own_whole(tmp_path):
    part, target, sunk = (tmp_path / f"{name}.parquet" for name in ("part", "all", "sunk"))
    write_table(pl.DataFrame({"x": range(1 << 19), "y": "text"}), part)
    concatenate([part], target)
    sink_table(pl.scan_parquet(part), sunk)
    assert target.read_bytes() == part.read_bytes() == sunk.read_bytes()
