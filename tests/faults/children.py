"""The program in a forked child: what was imported before the fork need not be again, and a child can be killed.

The parent computes nothing, since the threads of Polars, Numba and PyTorch do not outlive a fork. It imports what its
children had to import, so that the next ones need not.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmi2i_cli.__main__ import main

PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit status (negative: the signal that killed it), and what it printed.

    `seconds` are those that it computed, however long it had to wait for that.
    """

    status: int
    out: str
    err: str
    seconds: float = 0.0


class Child:
    """A process that does some `work`, whose result is its exit status."""

    def __init__(self, work: Callable[[], int]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="llmi2i-child-"))
        gc.freeze()  # a child that collects garbage would walk through, and copy, all that was imported
        known = set(sys.modules)
        self.pid = os.fork()
        if self.pid == 0:
            status = 70
            try:
                for descriptor, name in ((1, "out"), (2, "err")):
                    os.dup2(os.open(self._folder / name, os.O_WRONLY | os.O_CREAT), descriptor)
                status = work()
                sys.stdout.flush()
                with contextlib.suppress(OSError):  # past a limit that was set on purpose
                    (self._folder / "imported").write_text("\n".join(set(sys.modules) - known))
            except BaseException:  # of the work itself: the program lets nothing through
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)

    def end(self) -> Ended:
        """Wait for its end; a child that hangs is killed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := os.wait4(self.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.002)
        out, err = ((self._folder / name).read_text(errors="replace") for name in ("out", "err"))
        if (imported := self._folder / "imported").exists():
            _import(imported.read_text().splitlines())
        shutil.rmtree(self._folder)
        _, status, usage = found
        return Ended(os.waitstatus_to_exitcode(status), out, err, usage.ru_utime + usage.ru_stime)


def _import(modules: Iterable[str]) -> None:
    for module in modules:
        with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
            importlib.import_module(module)


def start(*arguments: object, before: Callable[[], object] = lambda: None) -> Child:
    """``llmi2i ARGUMENTS`` in a child; `before` is called in it before the program starts."""

    def work() -> int:
        before()
        return main([str(argument) for argument in arguments])

    return Child(work)


def run(*arguments: object, before: Callable[[], object] = lambda: None) -> Ended:
    """The same, to its end."""
    return start(*arguments, before=before).end()


OUT_OF_TIME = -signal.SIGPROF  # the exit status


def at_second(seconds: float) -> None:
    """In a child: end as by kill -9 when it has computed that long, which does not depend on who else computes."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


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
