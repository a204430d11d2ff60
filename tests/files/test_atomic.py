"""Files and directories are replaced in one step."""

from __future__ import annotations

import threading

import pytest

from llmi2i_cli.files import atomic
from llmi2i_cli.files.atomic import put_in_place


def folder_of(path, text):
    path.mkdir()
    (path / "file").write_text(text)
    return path


def test_a_file_takes_the_place_of_a_file_or_of_nothing(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    for text in ("first", "second"):
        source.write_text(text)
        put_in_place(source, target)
        assert target.read_text() == text
        assert not source.exists()


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_directory_takes_the_place_of_another_which_is_then_where_it_was(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    target = tmp_path / "target"
    put_in_place(folder_of(tmp_path / "first", "first"), target)
    assert not (tmp_path / "first").exists()
    put_in_place(folder_of(tmp_path / "second", "second"), target)
    assert (target / "file").read_text() == "second"
    assert (tmp_path / "second/file").read_text() == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["second", "target"]


def test_a_reader_never_misses_a_directory_that_is_replaced(tmp_path):
    one, target = folder_of(tmp_path / "one", "1"), folder_of(tmp_path / "target", "2")
    put_in_place(one, target)
    if (one / "file").read_text() != "2":
        pytest.skip("this file system cannot exchange names")
    missed, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                (target / "file").read_text()
            except OSError as error:
                missed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3000):
        put_in_place(one, target)
    stop.set()
    reader.join()
    assert missed == []
