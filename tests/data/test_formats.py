import gzip
import json

import polars as pl
import pytest

from llmi2i_cli.data.formats import detect_format, expand_inputs, pick_column, resolve_formats
from llmi2i_cli.errors import InputError

REVIEW_2014 = {"reviewerID": "A1", "asin": "B0", "unixReviewTime": 1_400_000_000}
REVIEW_2023 = {"user_id": "A1", "parent_asin": "B0", "asin": "B1", "timestamp": 1_600_000_000_000}


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.csv", "user_id,item_id,timestamp\n", "csv"),
        ("a.tsv.gz", "user_id\titem_id\n", "csv"),
        ("a.inter", "user_id:token\titem_id:token\n", "recbole"),
        ("a.jsonl", '{"user_id": 1, "item_id": 2}\n', "jsonl"),
        ("a.json.gz", json.dumps(REVIEW_2014) + "\n", "amazon"),
        ("a.jsonl", json.dumps(REVIEW_2023) + "\n", "amazon"),
        ("meta.json", "{'asin': 'B0', 'title': 'x'}\n", "amazon"),
        ("sequences.txt", "1 2 3\n", "sequences"),
        ("a.txt", "userId,movieId,rating,timestamp\n", "csv"),
        ("a.dat", "user_id:token\titem_id:token\ttimestamp:float\n", "recbole"),
        ("a", '{"user_id": 1, "item_id": 2}\n', "jsonl"),
        ("a.txt", "u,1 i:2 i:3\n", "sequences"),
    ],
)
def test_a_format_is_told_by_name_and_content(tmp_path, name, content, form):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    assert detect_format(path) == form


def test_parquet_is_told_by_content(tmp_path):
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.txt")
    assert detect_format(tmp_path / "a.txt") == "parquet"


def test_a_directory_stands_for_its_files_by_name(tmp_path):
    for name in ("b.csv", "a.csv", ".hidden", "_SUCCESS"):
        (tmp_path / name).write_text("x")
    (tmp_path / "deeper").mkdir()
    assert [path.name for path in expand_inputs([tmp_path])] == ["a.csv", "b.csv"]
    with pytest.raises(InputError, match="holds no file"):
        expand_inputs([tmp_path / "deeper"])
    with pytest.raises(InputError, match="nowhere: no such file"):
        expand_inputs([tmp_path / "nowhere"])


def test_sequences_do_not_mix_with_times(tmp_path):
    (tmp_path / "a.txt").write_text("1 2 3\n")
    (tmp_path / "b.csv").write_text("user_id,item_id,timestamp\n")
    with pytest.raises(InputError, match=r"a.txt reads as sequences.*b.csv as csv"):
        resolve_formats([tmp_path / "b.csv", tmp_path / "a.txt"], None)
    assert resolve_formats([tmp_path / "a.txt"], "csv") == [(tmp_path / "a.txt", "csv")]


def test_columns_are_found_without_case_and_underscores_the_better_name_first():
    assert pick_column(["ASIN", "Parent_Asin", "x"], ["item_id", "parent_asin", "asin"]) == "Parent_Asin"
    assert pick_column(["movieId"], ["item_id", "movie_id"]) == "movieId"
    assert pick_column(["x"], ["item_id"]) is None
