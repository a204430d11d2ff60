import gzip
import json

import pytest

from llmi2i_cli.data.json_lines import JsonLinesFile
from llmi2i_cli.errors import InputError


def rows(path, columns, **options):
    return [row for chunk in JsonLinesFile(path, **options).chunks([], columns) for row in chunk.iter_rows()]


def write(tmp_path, *lines):
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_values_become_their_text(tmp_path):
    lines = [{"u": "ä", "i": 12345678901234567, "t": 5.0}, {"u": None, "t": 1.5, "x": [1]}, {"u": "[", "i": "true"}]
    lines += [{"i": 3.557894612418399e16, "t": 1e-5}, {"i": "\N{GRINNING FACE}"}]
    path = write(tmp_path, *(json.dumps(line) for line in lines))
    expected = [("ä", "12345678901234567", "5", 1), (None, None, "1.5", 2), ("[", "true", None, 3)]
    expected += [(None, "35578946124183990", "0.00001", 4), (None, "\N{GRINNING FACE}", None, 5)]
    assert rows(path, ["u", "i", "t"]) == expected
    with path.open("a") as handle:
        handle.write("\n")  # a blank line takes the slow way
    assert rows(path, ["u", "i", "t"]) == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"a": [1]}', r"'a' is '\[1\]', where text or a number belongs"),
        ('{"a": {"b": 1}}', "'a' is \"{'b': 1}\", where"),
        ('{"a": NaN}', "'a' is 'nan', where"),
        ('{"a": "u\\ud800"}', r"'a' holds half a character: 'u\\ud800'"),
        ('{"a": 1, "a": 2}', r"not one JSON object per line \(the key 'a' is there twice\)"),
    ],
)
@pytest.mark.parametrize("before", ['{"a": "x"}', ""], ids=["the fast way", "the slow way"])
def test_a_value_that_is_no_id_or_time_is_named(tmp_path, line, problem, before):
    with pytest.raises(InputError, match=f"log.jsonl, line 2: {problem}"):
        rows(write(tmp_path, before, line), ["a"])


@pytest.mark.parametrize("before", ['{"u": "true"}', ""], ids=["the fast way", "the slow way"])
def test_true_and_false_are_no_ids(tmp_path, before):
    table = JsonLinesFile(write(tmp_path, before, '{"u": 1, "x": true}', '{"u": false, "x": 1}'))
    with pytest.raises(InputError, match=r"log.jsonl, line 3: 'u' is true or false, where an id belongs"):
        list(table.chunks(["u"], ["x"]))
    assert [row for chunk in table.chunks([], ["x"]) for row in chunk["x"]][-2:] == ["true", "1"]
    with pytest.raises(InputError, match=r"log.jsonl, line 3: 'u' is true or false, where an id belongs"):
        list(table.descriptions("u", ["x"]))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{'asin': b'B0'}", "'asin' is \"b'B0'\", where text"),
        ("{'asin': {1}}", "'asin' is '.1.', where text"),
        ("{[1]: 'B0'}", "not one JSON object per line .nor a Python literal: unhashable"),
        ("{'asin': 'B0', 'asin': 'B1'}", "not one JSON object per line .the key 'asin' is there twice"),
        ("{1: 'B0'}", "not one JSON object per line .the key 1 is no text"),
    ],
)
def test_a_literal_that_no_log_has_is_named(tmp_path, line, problem):
    with pytest.raises(InputError, match=f"log.jsonl, line 2: {problem}"):
        rows(write(tmp_path, "{'asin': 'B0'}", line), ["asin"], python_literals=True)


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
