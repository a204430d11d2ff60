"""Locks, and looking at them without getting in the way of a stage that starts."""

from __future__ import annotations

import fcntl
import os
import threading

import pytest

from llmi2i_cli.errors import WorkdirError
from llmi2i_cli.runs.locks import holders, lock


def test_what_a_holder_tells_and_that_it_holds_no_longer(tmp_path):
    with lock(tmp_path, "fuse", "`llmi2i fuse`", about={"stage": "fuse"}) as held:
        held.tell(doing="a long piece of work", done=1, total=20)
        held.tell(doing="short", done=2)  # leaves the end of the longer line behind it
        (told,) = holders(tmp_path)
        started_at = told.pop("started_at")
        host = os.uname().nodename
        assert told == {"stage": "fuse", "pid": os.getpid(), "host": host, "doing": "short", "done": 2}
        assert len(started_at) == len("2026-01-01T00:00:00Z")
    assert holders(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_has_left_is_no_holder(tmp_path):
    (tmp_path / ".locks").mkdir()
    (tmp_path / ".locks/fuse.lock").write_text('{"stage": "fuse", "pid": 1}\n')
    assert holders(tmp_path) == []
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        assert [told["pid"] for told in holders(tmp_path)] == [os.getpid()]


@pytest.mark.parametrize("content", ["", "123", '{"pid": 1', "[]\n"])
def test_a_holder_that_has_told_nothing_readable_is_left_out(tmp_path, content):
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        (tmp_path / ".locks/fuse.lock").write_text(content)
        assert holders(tmp_path) == []
        with pytest.raises(WorkdirError, match=r"another process \(pid \?\) is running `llmi2i fuse`"):
            lock(tmp_path, "fuse", "`llmi2i fuse`").__enter__()


def test_a_look_in_the_very_moment_of_starting_refuses_nobody(tmp_path, monkeypatch):
    """The shared lock of `holders` is there when the stage asks for its own, and gone soon after."""
    path = tmp_path / ".locks/fuse.lock"
    path.parent.mkdir()
    path.touch()
    look, flock, refused = path.open(), fcntl.flock, []
    flock(look, fcntl.LOCK_SH)

    def flock_while_somebody_looks(handle, operation):
        try:
            flock(handle, operation)
        except BlockingIOError:
            refused.append(operation)
            look.close()
            raise

    monkeypatch.setattr(fcntl, "flock", flock_while_somebody_looks)
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        pass
    assert refused == [fcntl.LOCK_EX | fcntl.LOCK_NB]


def test_stages_start_while_others_look_all_the_time(tmp_path):
    stop = threading.Event()

    def look():
        while not stop.is_set():
            holders(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for number in range(300):
            with lock(tmp_path, "fuse", "`llmi2i fuse`", about={"number": number}):
                assert [told["number"] for told in holders(tmp_path)] == [number]
    finally:
        stop.set()
        for looker in lookers:
            looker.join()
