"""Locks between processes that share a work directory; the kernel frees them when their process dies.

A lock is an exclusive flock of ``.locks/<name>.lock``. The first line of that file is JSON: what the holder works on,
who it is, since when, and how far it has come. One write puts a new line over the old one, so that readers do not find
the file empty; what a longer line has left behind the first one means nothing.

`holders` looks at the locks and must be in nobody's way. It asks for a shared lock, which nobody gets while a process
holds the exclusive one, and lets go of it at once. Whoever wants the lock in that very moment is refused, too, but can
tell a look from a holder: with a look, and only with that, a shared lock is to be had. It then tries again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from llmi2i_cli.errors import WorkdirError
from llmi2i_cli.files.documents import parse_json

NOBODY: Mapping[str, Any] = {}


class HeldLock:
    """A lock that this process holds, and the line about it that others read."""

    def __init__(self, handle: TextIO, about: Mapping[str, Any]) -> None:
        self._handle = handle
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._about = {**about, "pid": os.getpid(), "host": os.uname().nodename, "started_at": now}
        self.tell()

    def tell(self, **progress: Any) -> None:
        """Say how far the work has come; what was told before no longer counts."""
        os.pwrite(self._handle.fileno(), (json.dumps({**self._about, **progress}) + "\n").encode(), 0)


@contextlib.contextmanager
def lock(
    workdir: Path, name: str, busy: str, *, wait: bool = False, about: Mapping[str, Any] = NOBODY
) -> Iterator[HeldLock]:
    """Hold ``.locks/<name>.lock`` until the end of the block; the kernel frees it when the process dies.

    When another process holds it, `wait` for it or raise WorkdirError naming it. `about` tells others what it is for.
    """
    folder = workdir / ".locks"
    path = folder / f"{name}.lock"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            path.touch()
            handle = path.open("r+", encoding="utf-8")
        except FileNotFoundError:  # another process let go of its lock just now and took file or folder away
            continue
        if wait:
            fcntl.flock(handle, fcntl.LOCK_EX)
        elif not _take(handle):
            owner = _first_line(handle).get("pid", "?")
            handle.close()
            raise WorkdirError(
                f"another process (pid {owner}) is running {busy} in {workdir}: wait for it, or use another --workdir"
            )
        # The former holder unlinks its file when it ends: a lock on that orphan protects nothing, so look again.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(handle.fileno()).st_ino:
                break
        handle.close()
    try:
        yield HeldLock(handle, about)
    finally:
        path.unlink(missing_ok=True)
        handle.close()
        with contextlib.suppress(OSError):
            folder.rmdir()


def holders(workdir: Path) -> list[dict[str, Any]]:
    """What the processes that hold a lock in `workdir` tell, by the names of the locks; disturbs none of them.

    Each has the keys ``pid``, ``host``, ``started_at`` (UTC), those of its `about`, and of its last `HeldLock.tell`.
    One that has taken its lock but said nothing yet is left out, and so is what a killed process has left.
    """
    try:
        paths = sorted(path for path in (workdir / ".locks").iterdir() if path.suffix == ".lock")
    except OSError:  # no folder, so nobody holds anything
        return []
    found = []
    for path in paths:
        with contextlib.suppress(OSError), path.open(encoding="utf-8") as handle:
            if not _try(handle, fcntl.LOCK_SH) and (told := _first_line(handle)):
                found.append(told)
    return found


def _take(handle: TextIO) -> bool:
    """Take the lock unless a process holds it; one that only looks (`holders`) is gone in a moment."""
    while not _try(handle, fcntl.LOCK_EX):
        if not _try(handle, fcntl.LOCK_SH):
            return False
    return True


def _try(handle: TextIO, operation: int) -> bool:
    try:
        fcntl.flock(handle, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _first_line(handle: TextIO) -> dict[str, Any]:
    """What the holder has told; nothing, if it has not yet or is just telling it."""
    handle.seek(0)
    try:
        told = parse_json(handle.readline())
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
