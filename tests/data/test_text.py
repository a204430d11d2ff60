import gzip
import os

import pytest

from llmi2i_cli.data.text import read_blocks
from llmi2i_cli.errors import InputError


def blocks(path, **options):
    return [(block.first_line, block.data.decode()) for block in read_blocks(path, **options)]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1000])
def test_blocks_are_whole_lines_and_add_up_to_the_file(tmp_path, block_bytes):
    text = "ein\nzwöi\n\ndrü\nohne Ende"
    path = tmp_path / "log"
    path.write_text(text, encoding="utf-8")
    found = blocks(path, block_bytes=block_bytes)
    assert "".join(data for _, data in found) == text
    assert all(data.endswith("\n") for _, data in found[:-1])
    for first_line, data in found:
        assert text.split("\n")[first_line - 1] == data.split("\n")[0]


def test_gzip_is_told_by_content_and_a_byte_order_mark_goes(tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfu i\n"))
    assert blocks(path) == [(1, "u i\n")]


def test_a_line_break_between_quotes_ends_no_block(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('a,b\n1,"x\ny\nz"\n2,c\n')
    assert blocks(path, quoted_between=",", block_bytes=4) == [(1, "a,b\n"), (2, '1,"x\ny\nz"\n'), (5, "2,c\n")]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    path = tmp_path / "log"
    os.mkfifo(path)
    with pytest.raises(InputError, match="log is a pipe or a device, and inputs are read more than once"):
        list(read_blocks(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "log: no such file"),
        (b"", "log is empty"),
        (gzip.compress(b"u i\n" * 1000, mtime=0)[:-9], "log is truncated or damaged"),
        (gzip.compress(b"u i\n" * 1000, mtime=0)[:20] + b"x" * 20, "log is truncated or damaged"),
        (b"u i\nu \0\n", "log, line 2: binary data"),
        (b"u i\nu \xff\n", "log, line 2: not UTF-8"),
    ],
)
def test_what_is_no_text_is_refused_by_name_and_line(tmp_path, content, message):
    path = tmp_path / "log"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_blocks(path))


def test_a_quote_that_is_never_closed_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("llmi2i_cli.data.text.LONGEST_LINE_BYTES", 100)
    path = tmp_path / "log.csv"
    path.write_text("a,b\n" + '1,"x\n' + "2,y\n" * 100)
    with pytest.raises(InputError, match="line 2: a quote is never closed"):
        list(read_blocks(path, quoted_between=",", block_bytes=10))
