from __future__ import annotations

import polars as pl
import pytest

from llmi2i_cli.data.item_lists import read_item_list, read_item_values
from llmi2i_cli.errors import InputError

ITEM_IDS = pl.Series("item_id", ["a", "b", "c d", "e"])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("stock.txt", "a\n\n c d \nx\n", ["a", "c d", "x"]),
        ("stock", "1\r\n2", ["1", "2"]),
        ("stock.csv", "price,item_id\n3,a\n4,c d\n", ["a", "c d"]),
        ("stock.jsonl", '{"asin": "a"}\n{"asin": "e"}\n', ["a", "e"]),
        ("empty.txt", "", []),
    ],
)
def test_lists_are_lines_or_tables(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert read_item_list(tmp_path / name, "--allow").to_list() == expected


def test_a_list_as_parquet(tmp_path):
    pl.DataFrame({"item_id": [7, 8], "price": [1.0, 2.0]}).write_parquet(tmp_path / "stock.parquet")
    assert read_item_list(tmp_path / "stock.parquet", "--allow").to_list() == ["7", "8"]


def test_what_is_no_list(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: no such file"):
        read_item_list(tmp_path / "none.txt", "--allow")
    (tmp_path / "stock.csv").write_text("price,brand\n1,x\n")
    with pytest.raises(InputError, match=r"stock\.csv has no column 'item_id'"):
        read_item_list(tmp_path / "stock.csv", "--allow")
    (tmp_path / "stock.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"stock\.txt cannot be read as text"):
        read_item_list(tmp_path / "stock.txt", "--allow")


def test_values_are_codes_of_the_first_line_that_has_one(tmp_path):
    (tmp_path / "one.csv").write_text("item_id,brand\na,Acme\nb,\nx,Acme\na,Other\n")
    (tmp_path / "two.jsonl").write_text('{"item_id": "b", "brand": "Zeta"}\n{"item_id": "c d", "brand": ["Acme"]}\n')
    (tmp_path / "three.csv").write_text("item_id,price\ne,3\n")
    paths = [tmp_path / name for name in ("one.csv", "two.jsonl", "three.csv")]
    codes = read_item_values(paths, "brand", ITEM_IDS, "--same").tolist()
    assert codes[0] == codes[2] >= 0
    assert codes[1] not in (codes[0], -1)
    assert codes[3] == -1


def test_columns_that_say_nothing(tmp_path):
    (tmp_path / "one.csv").write_text("sku,brand\nx,Acme\n")
    with pytest.raises(InputError, match=r"no column 'colour' \(found: sku, brand\): correct --same"):
        read_item_values([tmp_path / "one.csv"], "colour", ITEM_IDS, "--same")
    with pytest.raises(InputError, match="column 'brand' has no value of any item of the index: correct --same"):
        read_item_values([tmp_path / "one.csv"], "brand", ITEM_IDS, "--same", "sku")
