import gzip
import json

import polars as pl
import pytest

from llmi2i_cli.choices.formats import FORMATS
from llmi2i_cli.choices.loading import load
from llmi2i_cli.data.formats import detect_format, resolve_formats
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
    assert detect_format(path).name == form


def test_parquet_is_told_by_content(tmp_path):
    for name in ("a.txt", "a.csv"):
        pl.DataFrame({"a": [1]}).write_parquet(tmp_path / name)
        assert detect_format(tmp_path / name).name == "parquet"


def test_what_nothing_tells_is_asked_for(tmp_path):
    (tmp_path / "a.txt").write_text("one;two\n")
    with pytest.raises(InputError, match=r"a.txt: neither its name nor its first line tells .* --format"):
        detect_format(tmp_path / "a.txt")


@pytest.mark.parametrize("row", FORMATS.values(), ids=FORMATS)
def test_every_row_can_be_loaded(row):
    assert callable(load(row.open))
    assert row.recognises is None or load(row.recognises)([""]) is False


def test_sequences_do_not_mix_with_times(tmp_path):
    (tmp_path / "a.txt").write_text("1 2 3\n")
    (tmp_path / "b.csv").write_text("user_id,item_id,timestamp\n")
    with pytest.raises(InputError, match=r"a.txt reads as sequences.*b.csv as csv"):
        resolve_formats([tmp_path / "b.csv", tmp_path / "a.txt"], None)
    assert resolve_formats([tmp_path / "a.txt"], FORMATS["csv"]) == [(tmp_path / "a.txt", FORMATS["csv"])]
