"""Locks: one holder at a time, whoever dies, on one machine or several; and looking at them in nobody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llmi2i_cli.errors import WorkdirError
from llmi2i_cli.runs import locks, owners
from llmi2i_cli.runs.locks import holders, lock

# A process that takes the lock ROUNDS times and looks each time whether it is alone. With "die" it kills itself at a
# call to the system while it takes or releases the lock, or holds it.
CONTENDER = """
import os, random, signal, sys
from pathlib import Path
from llmi2i_cli.runs import locks, owners
workdir, rounds, seed, dies = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "die"
locks.LONGEST_PAUSE_SECONDS = 0.01
if dies:
    left = random.Random(seed).randrange(400, 900)
    def count_down(event, *_):
        global left
        if event in ("open", "os.link", "os.remove", "os.mkdir", "os.rmdir"):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count_down)
for _ in range(rounds):
    with locks.lock(workdir, "fuse", "it", wait=True):
        inside = workdir / "inside"
        try:
            other = inside.read_text()
        except FileNotFoundError:
            other = ""
        if other and owners.start_of(int(other)):
            sys.exit(f"{os.getpid()} is not alone: {other} is inside, too")
        inside.write_text(str(os.getpid()))
        inside.unlink()
"""


def elsewhere(monkeypatch):
    """From here on this process is on another machine."""
    monkeypatch.setattr(owners, "machine", lambda: "another machine")


def silent_for(path, seconds):
    """Let the last sign of life be so long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def dead_process():
    """What a lock tells of a process of this machine that has ended."""
    code = "import json; from llmi2i_cli.runs.owners import this_process as it; print(json.dumps(it()))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


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


def test_a_lock_that_is_held_is_refused_in_this_process_too(tmp_path):
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        with pytest.raises(WorkdirError, match=rf"another process \(pid {os.getpid()}\) is running `llmi2i fuse`"):
            lock(tmp_path, "fuse", "`llmi2i fuse`").__enter__()
        with lock(tmp_path, "filter", "`llmi2i filter`"):
            assert len(holders(tmp_path)) == 2


def test_what_a_killed_process_has_left_is_no_holder(tmp_path):
    (tmp_path / ".locks").mkdir()
    (tmp_path / ".locks/fuse.lock").write_text(dead_process())
    (tmp_path / ".locks/filter.lock").write_text(dead_process())
    (tmp_path / ".locks/.fuse.0123").write_text(dead_process())
    assert holders(tmp_path) == []
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        assert [told["pid"] for told in holders(tmp_path)] == [os.getpid()]
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_now_is_another_process_is_not_the_holder(tmp_path):
    (tmp_path / ".locks").mkdir()
    line = dead_process().replace('"pid": ', f'"pid": {os.getpid()}, "former": ')
    (tmp_path / ".locks/fuse.lock").write_text(line)
    assert holders(tmp_path) == []
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        pass


def test_a_process_that_has_ended_but_was_not_asked_yet_is_dead():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as child:
        started = owners.start_of(child.pid)
        assert started
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # has ended; its number stays until it is asked
        assert owners.start_of(child.pid) == ""
    assert owners.start_of(child.pid) == ""


@pytest.mark.parametrize("content", ["", "123", '{"pid": 1', "[]\n", "\xff\n"])
def test_a_holder_that_has_told_nothing_readable_is_left_out(tmp_path, content):
    (tmp_path / ".locks").mkdir()
    path = tmp_path / ".locks/fuse.lock"
    path.write_text(content, encoding="latin-1")
    assert holders(tmp_path) == []
    with pytest.raises(WorkdirError, match=r"another process \(pid \?\) is running `llmi2i fuse`"):
        lock(tmp_path, "fuse", "`llmi2i fuse`").__enter__()
    silent_for(path, owners.SILENT_SECONDS + 5)
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        pass


def test_another_machine_holds_a_lock_as_long_as_it_gives_signs_of_life(tmp_path, monkeypatch):
    path = tmp_path / ".locks/fuse.lock"
    with lock(tmp_path, "fuse", "`llmi2i fuse`") as held:
        elsewhere(monkeypatch)
        monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "elsewhere", "", "", "")))
        host = holders(tmp_path)[0]["host"]
        silent_for(path, owners.SILENT_SECONDS - 30)
        with pytest.raises(WorkdirError, match=rf"another process \(pid {os.getpid()} on {host}\) is running"):
            lock(tmp_path, "fuse", "`llmi2i fuse`").__enter__()
        silent_for(path, owners.SILENT_SECONDS + 5)
        assert holders(tmp_path) == []
        with lock(tmp_path, "fuse", "`llmi2i fuse`") as other:
            with pytest.raises(WorkdirError, match="is no longer this process's lock"):
                held.tell(done=1)  # it was only suspended
            other.tell(done=2)
            held.release()  # what another process has taken over is not taken away
            assert [told["done"] for told in holders(tmp_path)] == [2]


def test_the_age_of_a_sign_of_life_is_told_by_the_clock_of_the_file_system(tmp_path, monkeypatch):
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        elsewhere(monkeypatch)
        monkeypatch.setattr(time, "time", lambda: 4e9)  # this machine's clock is decades ahead
        assert len(holders(tmp_path)) == 1


def test_a_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.001)
    path = tmp_path / ".locks/fuse.lock"
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        silent_for(path, 1000)
        deadline = time.monotonic() + 60
        while path.stat().st_mtime < time.time() - 500:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def test_who_has_looked_at_a_dead_lock_does_not_remove_the_one_made_since(tmp_path):
    (tmp_path / ".locks").mkdir()
    path = tmp_path / ".locks/fuse.lock"
    path.write_text(dead_process())
    found = locks._look(path)
    assert found
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        locks._remove(path, found[0])
        assert [told["pid"] for told in holders(tmp_path)] == [os.getpid()]


def test_a_file_system_without_hard_links_is_one_line(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(WorkdirError, match=r"\.locks: the file system has no hard links, which locks need"):
        lock(tmp_path, "fuse", "`llmi2i fuse`").__enter__()


def test_never_two_at_once_although_holders_are_killed(tmp_path):
    """Three processes contend until they are through; three others kill themselves at any step."""
    command = [sys.executable, "-c", CONTENDER, str(tmp_path)]
    fates = ["live", "die", "live", "die", "live", "die"]
    running = [
        subprocess.Popen([*command, "60" if fate == "live" else "1000", str(seed), fate], stderr=-1, text=True)
        for seed, fate in enumerate(fates)
    ]
    for process, fate in zip(running, fates, strict=True):
        _, error = process.communicate(timeout=120)
        assert (process.returncode, error) == (0 if fate == "live" else -signal.SIGKILL, "")
    with lock(tmp_path, "fuse", "it"):
        pass
    assert {path.name for path in tmp_path.iterdir()} <= {"inside"}


def test_two_mounts_of_one_directory_are_one_work_directory(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    with lock(tmp_path / "here", "fuse", "it"):
        mount = f"mount --bind {tmp_path}/here {tmp_path}/there"
        if subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True, check=False).returncode:
            pytest.skip("no right to mount a directory a second time")
        code = (
            f"from pathlib import Path; from llmi2i_cli.runs.locks import lock; lock(Path({str(tmp_path / 'there')!r})"
        )
        program = f"""{mount} && exec {sys.executable} -c "{code}, 'fuse', 'it').__enter__()" """
        done = subprocess.run(["unshare", "--mount", "sh", "-c", program], capture_output=True, text=True, check=False)
    assert f"another process (pid {os.getpid()}) is running it in {tmp_path}/there" in done.stderr


def test_stages_start_while_others_look_all_the_time(tmp_path):
    stop = threading.Event()

    def look():
        while not stop.is_set():
            holders(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for number in range(100):
            with lock(tmp_path, "fuse", "`llmi2i fuse`", about={"number": number}):
                assert [told["number"] for told in holders(tmp_path)] == [number]
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def test_a_folder_that_goes_while_it_is_made_is_made_again(tmp_path, monkeypatch):
    mkdir, refusals = Path.mkdir, [FileExistsError(17, "File exists")]

    def leaving(self, *arguments, **options):
        if self.name == ".locks" and refusals:
            raise refusals.pop()
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", leaving)
    with lock(tmp_path, "fuse", "`llmi2i fuse`"):
        assert len(holders(tmp_path)) == 1
    assert not refusals


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / ".locks").write_text("")
    with pytest.raises(FileExistsError):
        lock(tmp_path, "fuse", "`llmi2i fuse`").__enter__()
