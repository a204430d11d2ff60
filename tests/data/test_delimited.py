import csv
import io

import pytest

from llmi2i_cli.data import delimited, text
from llmi2i_cli.data.delimited import DelimitedFile
from llmi2i_cli.data.table_file import LINE
from llmi2i_cli.errors import InputError


def rows(path, columns=None, **options):
    table = DelimitedFile(path, **options)
    return [row for chunk in table.chunks(columns or table.columns) for row in chunk.iter_rows()]


def write(tmp_path, content, name="log.csv"):
    path = tmp_path / name
    path.write_bytes(content.encode())
    return path


def test_columns_are_text_and_rows_know_their_line(tmp_path):
    path = write(tmp_path, "user,item,note\nu1,007,\nü2,x y,1.50\n")
    assert rows(path) == [("u1", "007", "", 2), ("ü2", "x y", "1.50", 3)]
    assert rows(path, ["note", "user"]) == [("", "u1", 2), ("1.50", "ü2", 3)]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_the_separator_is_the_commonest_of_the_header(tmp_path, separator):
    path = write(tmp_path, f"a.b{separator}c d\n1{separator}2\n")
    assert rows(path) == [("1", "2", 2)]


@pytest.mark.parametrize(
    "content",
    [
        "a,b\r\n1,2\r\n3,4\r\n",
        "a,b\n1,2\n\n\n3,4",
        'a,b\n"1","2"\n"3","4"\n',
        'a,b\n1,"2\n2"\n"3, ""x""",4\n',
        'a,b\n1,19" screen\n3,4\n',
    ],
)
@pytest.mark.parametrize("block_bytes", [1, 5, 1000])
def test_fields_are_what_the_csv_module_reads(tmp_path, monkeypatch, content, block_bytes):
    monkeypatch.setattr(text.read_blocks, "__kwdefaults__", {"quoted_between": None, "block_bytes": block_bytes})
    reader = csv.reader(io.StringIO(content, newline=""))
    expected = [tuple(row) for row in reader if row][1:]
    assert [row[:-1] for row in rows(write(tmp_path, content))] == expected


def test_line_numbers_hold_after_blank_and_broken_lines(tmp_path):
    path = write(tmp_path, 'a,b\n\n1,2\n"x\ny",3\n\n5,6\n')
    assert [row[-1] for row in rows(path)] == [3, 4, 7]


def test_the_fast_and_the_slow_way_agree(tmp_path, monkeypatch):
    path = write(tmp_path, "a,b,c\n" + "".join(f"u{i},{i % 7},\n" for i in range(500)))
    fast = rows(path)
    monkeypatch.setattr(delimited.DelimitedFile, "_parse", lambda self, block: None)
    assert rows(path) == fast


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("row", ["3", "3,4,5"])
def test_a_row_with_too_few_or_too_many_fields_is_named(tmp_path, quote, row):
    path = write(tmp_path, f"a,b\n{quote}1{quote},2\n{row}\n")
    with pytest.raises(InputError, match=rf"log.csv, line 3: {len(row.split(','))} fields where .* names 2 columns"):
        rows(path)


def test_rows_that_are_wrong_in_ways_that_cancel_are_found(tmp_path):
    with pytest.raises(InputError, match="line 2: 1 fields"):
        rows(write(tmp_path, "a,b\n1\n1,2,3\n"))


@pytest.mark.parametrize(("content", "line"), [("a,b\r1,2\r", 1), ("a,b\n1,2\r3,4\r", 2), ("a,b\n1,2\n\r,4\n", 3)])
def test_carriage_returns_alone_end_no_lines(tmp_path, content, line):
    with pytest.raises(InputError, match=f"log.csv, line {line}: a carriage return alone ends a line"):
        rows(write(tmp_path, content))


def test_a_carriage_return_in_quotes_is_a_character(tmp_path):
    assert rows(write(tmp_path, 'a,b\n1,"2\r3"\n')) == [("1", "2\r3", 2)]


def test_a_quote_that_is_never_closed_swallows_no_rows(tmp_path):
    with pytest.raises(InputError, match=r"log.csv, line 3: from here on a quote is never closed"):
        rows(write(tmp_path, 'a,b\n1,2\n1,"2\n3,4\n'))


@pytest.mark.parametrize("content", ["\n1,2\n", "   \n"])
def test_a_file_without_a_header_is_refused(tmp_path, content):
    with pytest.raises(InputError, match="line 1: the first line must name the columns"):
        DelimitedFile(write(tmp_path, content))


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="two columns are named 'b'"):
        DelimitedFile(write(tmp_path, "b,a,b\n"))


def test_only_a_header_gives_no_rows(tmp_path):
    assert rows(write(tmp_path, "a,b\n")) == []
    assert rows(write(tmp_path, "a,b")) == []


def test_recbole_names_lose_their_type_and_quotes_mean_nothing(tmp_path):
    path = write(tmp_path, 'user_id:token\titem:id:token\ttimestamp:float\nu"1\t"i\t1.5e3\n', "x.inter")
    table = DelimitedFile(path, recbole=True)
    assert table.columns == ["user_id", "item:id", "timestamp"]
    assert rows(path, recbole=True) == [('u"1', '"i', "1.5e3", 2)]


def test_chunks_end_with_the_line_column(tmp_path):
    table = DelimitedFile(write(tmp_path, "a,b\n1,2\n"))
    assert next(table.chunks(["b"])).columns == ["b", LINE]
