import pytest

from llmi2i_cli.data.sequences import SequenceFile
from llmi2i_cli.errors import InputError


def pairs(path):
    columns = ["user_id", "item_id"]
    return [row[:2] for chunk in SequenceFile(path).chunks(columns) for row in chunk.iter_rows()]


def test_each_item_of_a_line_is_an_interaction_of_its_user(tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes("1 10 11\r\n\nü\tпривет  x \n1 10".encode())
    assert pairs(path) == [("1", "10"), ("1", "11"), ("ü", "привет"), ("ü", "x"), ("1", "10")]


def test_an_interaction_knows_its_line(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("1 10 11\n\n2 12\n")
    assert [chunk.rows() for chunk in SequenceFile(path).chunks(["item_id"])] == [[("10", 1), ("11", 1), ("12", 3)]]


def test_a_user_without_an_item_is_named(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("1 2\n\n \n7\n")
    with pytest.raises(InputError, match=r"log.txt, line 4: user '7' has no item"):
        pairs(path)


def test_carriage_returns_alone_end_no_lines(tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes(b"1 2\n3 4\r5 6\r")
    with pytest.raises(InputError, match=r"log.txt, line 2: a carriage return alone ends a line"):
        pairs(path)
    path.write_bytes(b"1 2\r\n3 4\r")
    assert pairs(path) == [("1", "2"), ("3", "4")]


def test_blank_lines_alone_give_nothing(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("\n \n")
    assert pairs(path) == []
