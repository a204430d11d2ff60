import gzip
import json

import polars as pl
import pytest

from llmi2i_cli.data.catalogue import read_catalogue
from llmi2i_cli.errors import InputError


def rows(*paths, **options):
    return read_catalogue(paths, **options).rows()


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


def test_csv_columns_join_to_a_text_in_their_order(tmp_path):
    path = write(
        tmp_path,
        "items.csv",
        'item_id,title,price,description,brand\nb,"Lamp, red",12.50,"Of glass.\nBright.",Acme\na,Rug,,,\n',
    )
    assert rows(path) == [("a", "Rug", "Rug"), ("b", "Lamp, red", "Lamp, red. Of glass. Bright. Acme")]


def test_a_catalogue_without_titles_still_has_texts(tmp_path):
    assert rows(write(tmp_path, "items.csv", "item_id,brand\na,Acme\n")) == [("a", "", "Acme")]
    assert rows(write(tmp_path, "ids.csv", "item_id,x\na,\n")) == [("a", "", "")]


def test_parquet_with_lists(tmp_path):
    frame = pl.DataFrame({"sku": [7, 8], "name": ["Lamp", None], "tags": [["red", "glass"], []]})
    frame.write_parquet(tmp_path / "items.parquet")
    expected = [("7", "Lamp", "Lamp. red glass"), ("8", "", "")]
    assert rows(tmp_path / "items.parquet", item_column="sku") == expected


def test_json_lines_whose_keys_differ(tmp_path):
    lines = [{"item_id": 1, "title": "Lamp"}, {"item_id": "2", "title": None, "extra": {"colour": "red", "n": [1]}}]
    path = write(tmp_path, "items.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert rows(path) == [("1", "Lamp", "Lamp"), ("2", "", "red 1")]


@pytest.mark.parametrize("item_id", ["a  b", "AT&amp;T", "Cafe\u0301", "<b>", " x"])
def test_an_id_is_the_same_text_in_every_format(tmp_path, item_id):
    pl.DataFrame({"item_id": [item_id], "title": ["T"]}).write_parquet(tmp_path / "items.parquet")
    lines = write(tmp_path, "items.jsonl", json.dumps({"item_id": item_id, "title": "T"}))
    table = write(tmp_path, "items.csv", f"item_id,title\n{item_id},T\n")
    for path in (tmp_path / "items.parquet", lines, table):
        assert rows(path) == [(item_id, "T", "T")]


def test_half_a_character_at_the_end_of_a_title_is_a_question_mark(tmp_path):
    assert rows(write(tmp_path, "a.jsonl", '{"item_id": 1, "title": "Lamp \\ud83d"}')) == [("1", "Lamp ?", "Lamp ?")]


def test_recbole_items(tmp_path):
    content = "item_id:token\ttitle:token_seq\tprice:float\tcategories:token_seq\n5\tRed lamp\t3.5\tHome Light\n"
    assert rows(write(tmp_path, "x.item", content)) == [("5", "Red lamp", "Red lamp. Home Light")]


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        (
            "meta_2014.json.gz",
            "{'asin': 'B0', 'title': \"Kids' lamp\", 'imUrl': 'http://x', 'brand': 'Acme', 'salesRank': {'Home': 5},"
            " 'categories': [['Home', 'Light']], 'description': 'Bright &amp; red.'}",
            ("B0", "Kids' lamp", "Kids' lamp. Acme. Home Light. Bright & red."),
        ),
        (
            "meta_2018.json.gz",
            json.dumps(
                {"category": ["Home"], "description": ["Bright."], "title": "Lamp", "brand": "Acme", "asin": "B0"}
            ),
            ("B0", "Lamp", "Lamp. Acme. Home. Bright."),
        ),
        (
            "meta_2023.jsonl.gz",
            json.dumps(
                {
                    "main_category": "Home",
                    "title": "Lamp",
                    "features": ["LED"],
                    "price": 5.5,
                    "images": [{"large": "http://x"}],
                    "store": "Acme",
                    "parent_asin": "B0",
                }
            ),
            ("B0", "Lamp", "Lamp. Acme. Home. LED"),
        ),
    ],
)
def test_amazon_metadata_of_2014_2018_and_2023(tmp_path, name, line, expected):
    assert rows(write(tmp_path, name, line + "\n")) == [expected]


def test_an_item_that_is_listed_twice_keeps_its_first_line(tmp_path):
    first = write(tmp_path, "a.csv", "item_id,title\nx,one\nx,two\n")
    second = write(tmp_path, "b.csv", "item_id,title\nx,three\ny,four\n")
    assert rows(first, second) == [("x", "one", "one"), ("y", "four", "four")]


def test_an_item_without_an_id_is_named(tmp_path):
    with pytest.raises(InputError, match=r"items.csv, line 3: 'item_id' is missing"):
        rows(write(tmp_path, "items.csv", "item_id,title\nx,one\n,two\n"))
    with pytest.raises(InputError, match=r"items.csv, line 2: 'item_id' is missing"):
        rows(write(tmp_path, "items.csv", "item_id,title\n \t,one\n"))
    with pytest.raises(InputError, match=r"items.jsonl, line 2: 'item_id' is missing"):
        rows(write(tmp_path, "items.jsonl", '{"item_id": 1}\n{"title": "x"}\n'))


def test_sequences_are_no_catalogue(tmp_path):
    with pytest.raises(InputError, match=r"items.txt: --items needs a file with named columns"):
        rows(write(tmp_path, "items.txt", "1 2 3\n"))


def test_a_catalogue_without_ids_names_the_option(tmp_path):
    with pytest.raises(InputError, match=r"no column 'item_id' \(found: sku, title\).*--item-column"):
        rows(write(tmp_path, "items.csv", "sku,title\nx,one\n"))
