"""Locks between processes that share a work directory; the kernel frees them when their process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from llmi2i_cli.errors import WorkdirError


@contextlib.contextmanager
def lock(workdir: Path, name: str, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Hold ``.locks/<name>`` until the end of the block; the kernel frees it when the process dies.

    When another process holds it, `wait` for it or raise WorkdirError naming it.
    """
    folder = workdir / ".locks"
    path = folder / f"{name}.lock"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = path.open("a+")
        except FileNotFoundError:  # another process let go of its lock just now and took the empty folder away
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            handle.seek(0)
            owner = handle.read().strip() or "?"
            handle.close()
            raise WorkdirError(
                f"another process (pid {owner}) is running {busy} in {workdir}: wait for it, or use another --workdir"
            ) from None
        # The former holder unlinks its file when it ends: a lock on that orphan protects nothing, so look again.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(handle.fileno()).st_ino:
                break
        handle.close()
    try:
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        handle.close()
        with contextlib.suppress(OSError):
            folder.rmdir()
