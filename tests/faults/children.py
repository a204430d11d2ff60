"""The program in a forked child: what was imported before the fork need not be again, and a child can be killed.

The parent computes nothing, since the threads of Polars, Numba and PyTorch do not outlive a fork.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmi2i_cli.__main__ import main

PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit status (negative: the signal that killed it), and what it printed."""

    status: int
    out: str
    err: str


class Child:
    """A process that does some `work`, whose result is its exit status."""

    def __init__(self, work: Callable[[], int]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="llmi2i-child-"))
        self.pid = os.fork()
        if self.pid == 0:
            status = 70
            try:
                for descriptor, name in ((1, "out"), (2, "err")):
                    os.dup2(os.open(self._folder / name, os.O_WRONLY | os.O_CREAT), descriptor)
                status = work()
                sys.stdout.flush()
            finally:
                os._exit(status)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def end(self, within: float = PATIENCE_SECONDS) -> Ended:
        """Wait for its end; a child that takes longer is killed."""
        deadline = time.monotonic() + within
        while (found := os.waitpid(self.pid, os.WNOHANG)) == (0, 0):
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.002)
        out, err = ((self._folder / name).read_text(errors="replace") for name in ("out", "err"))
        shutil.rmtree(self._folder)
        return Ended(os.waitstatus_to_exitcode(found[1]), out, err)


def start(*arguments: object, before: Callable[[], object] = lambda: None) -> Child:
    """``llmi2i ARGUMENTS`` in a child; `before` is called in it before the program starts."""

    def work() -> int:
        before()
        return main([str(argument) for argument in arguments])

    return Child(work)


def run(*arguments: object, before: Callable[[], object] = lambda: None) -> Ended:
    """The same, to its end."""
    return start(*arguments, before=before).end()


def at_change(number: int, below: Path, what: Callable[[str], object]) -> None:
    """In a child: call `what` just before the program's change of that number, from 1, to what is `below` a folder.

    A change is a file that is opened to be written, renamed, removed and the like, as Python's audit events tell.
    """
    changes = 0

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        if not _is_change(event, arguments, str(below)):
            return
        changes += 1
        if changes == number:
            what(event)

    sys.addaudithook(on_event)


def counting_changes(below: Path, told: Path) -> None:
    """In a child: keep the number of the program's changes `below` a folder in the size of the file `told`."""
    tally = told.open("ab", buffering=0)
    sys.addaudithook(lambda event, arguments: tally.write(b".") if _is_change(event, arguments, str(below)) else None)


CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime", "os.chmod", "os.truncate")


def _is_change(event: str, arguments: tuple[Any, ...], below: str) -> bool:
    if event == "ctypes.dlsym":  # names exchanged in one step
        return arguments[1] == "renameat2"
    if event != "open" and event not in CHANGES:
        return False
    if not isinstance(arguments[0], str | os.PathLike) or not os.fspath(arguments[0]).startswith(below):
        return False
    return event in CHANGES or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))


def die(event: str) -> None:
    """In a child: end as by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def no_space(event: str) -> None:
    """In a child: what the system says of a full disk, to all that takes up room."""
    if event in ("open", "os.mkdir", "os.rename"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
