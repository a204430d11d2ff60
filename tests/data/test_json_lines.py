import gzip
import json

import pytest

from llmi2i_cli.data.json_lines import JsonLinesFile
from llmi2i_cli.errors import InputError


def rows(path, columns, **options):
    return [row for chunk in JsonLinesFile(path, **options).chunks(columns) for row in chunk.iter_rows()]


def write(tmp_path, *lines):
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_values_become_their_text(tmp_path):
    lines = [{"u": "ä", "i": 12345678901234567, "t": 5.0}, {"u": None, "t": 1.5, "x": [1]}, {"i": {"a": 1}, "t": True}]
    path = write(tmp_path, *(json.dumps(line) for line in lines))
    expected = [("ä", "12345678901234567", "5", 1), (None, None, "1.5", 2), (None, '{"a": 1}', "true", 3)]
    assert rows(path, ["u", "i", "t"]) == expected
    with path.open("a") as handle:
        handle.write("\n")  # a blank line takes the slow way
    assert rows(path, ["u", "i", "t"]) == expected


def test_columns_are_all_keys_of_the_start(tmp_path):
    assert JsonLinesFile(write(tmp_path, '{"a": 1}', "", '{"b": 2, "a": 3}')).columns == ["a", "b"]


def test_only_line_feeds_end_a_line(tmp_path):
    assert rows(write(tmp_path, '{"a": "x\u2028y\x85"}\r'), ["a"]) == [("x\u2028y\x85", 1)]


def test_line_numbers_count_blank_lines(tmp_path):
    assert rows(write(tmp_path, "", '{"a": "x"}', "", '{"a": "y"}'), ["a"]) == [("x", 2), ("y", 4)]


@pytest.mark.parametrize("line", ["{", "[1]", "3", "{'a': 1}", "{'a': open('x')}"])
@pytest.mark.parametrize("where", [1, 3000])
def test_a_line_that_is_no_object_is_named(tmp_path, line, where):
    path = write(tmp_path, *['{"a": "some longer text to fill the start of the file"}'] * (where - 1), line)
    with pytest.raises(InputError, match=f"log.jsonl, line {where}: not one JSON object per line"):
        rows(path, ["a"])


def test_python_literals_are_read_where_they_are_expected(tmp_path):
    path = tmp_path / "meta.json.gz"
    path.write_bytes(gzip.compress(b"{'asin': 'B0', 'title': \"Ladies' soap\", 'x': None}\n{\"asin\": \"B1\"}\n"))
    assert rows(path, ["asin", "title"], python_literals=True) == [("B0", "Ladies' soap", 1), ("B1", None, 2)]
    with pytest.raises(InputError, match="line 1: not one JSON object"):
        JsonLinesFile(path)
    path.write_bytes(b"{'asin': __import__('os').getcwd()}\n")
    with pytest.raises(InputError, match="line 1: not one JSON object"):
        JsonLinesFile(path, python_literals=True)
