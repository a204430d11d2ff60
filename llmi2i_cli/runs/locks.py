"""Locks between processes that share a work directory, on one machine or on many.

A lock is a file ``.locks/<name>.lock``. Whoever makes it holds it: it is written under a name of its own and then
linked to that one, which succeeds for one process alone, on a file server (NFS) as well, where flock is not to be
relied on. The first line of the file is JSON: what the holder works on, who it is, since when, and how far it has come.
One write puts a new line over the old one, so that readers do not find the file empty; what a longer line has left
behind the first one means nothing. A thread touches the file as long as the holder lives (see `owners`).

What a dead process has left is removed by the next one that wants the lock, under a lock of its own that is named after
the dead one: nobody who has looked earlier can remove what was made since.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmi2i_cli.errors import WorkdirError
from llmi2i_cli.files.documents import parse_json
from llmi2i_cli.runs.owners import BEAT_SECONDS, SILENT_SECONDS, is_dead, this_process

NOBODY: Mapping[str, Any] = {}
FOR_PROCESSES = ("machine", "process", "token")  # what holders tell for the sake of others that want the lock
LONGEST_PAUSE_SECONDS = 1.0  # between two tries of one that waits
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class HeldLock:
    """A lock that this process holds, and the line about it that others read."""

    def __init__(self, path: Path, line: Mapping[str, Any]) -> None:
        self._path, self._line = path, line
        self._handle = path.open("r+b")
        self._end = threading.Event()
        self._beat = threading.Thread(target=self._give_signs_of_life, name=f"lock {path.name}", daemon=True)
        self._beat.start()

    def tell(self, **progress: Any) -> None:
        """Say how far the work has come; what was told before no longer counts. WorkdirError as `check`."""
        self.check()
        os.pwrite(self._handle.fileno(), _as_line({**self._line, **progress}), 0)

    def check(self) -> None:
        """WorkdirError if the lock is no longer this process's.

        A process that was suspended for long is dead to other machines, and may find another one in its place.
        """
        if not self._is_ours():
            raise WorkdirError(
                f"{self._path} is no longer this process's lock: it was removed, or another process took it over after "
                f"{SILENT_SECONDS:.0f} seconds without a sign of life; run the same command again"
            )

    def release(self) -> None:
        self._end.set()
        self._beat.join()
        self._handle.close()  # first: a file server keeps what is open under another name
        if self._is_ours():
            self._path.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        found = _look(self._path)
        return found is not None and found[0].get("token") == self._line["token"]

    def _give_signs_of_life(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):  # the server is away: the next one may get through
                os.utime(self._handle.fileno())


@contextlib.contextmanager
def lock(
    workdir: Path, name: str, busy: str, *, wait: bool = False, about: Mapping[str, Any] = NOBODY
) -> Iterator[HeldLock]:
    """Hold ``.locks/<name>.lock`` until the end of the block; a process that dies holds nothing any more.

    When another process holds it, `wait` for it or raise WorkdirError naming it. `about` tells others what it is for.
    """
    folder = workdir / ".locks"
    held = _take(folder / f"{name}.lock", f"{busy} in {workdir}", wait, about)
    try:
        yield held
    finally:
        held.release()
        _sweep(folder)
        with contextlib.suppress(OSError):
            folder.rmdir()


def holders(workdir: Path) -> list[dict[str, Any]]:
    """What the processes that hold a lock in `workdir` tell, by the names of the locks; disturbs none of them.

    Each has the keys ``pid``, ``host``, ``started_at`` (UTC), those of its `about`, and of its last `HeldLock.tell`.
    What cannot be read is left out, and so is what a dead process has left.
    """
    told = []
    for path in _files_of(workdir / ".locks"):
        with contextlib.suppress(OSError):
            found = _look(path) if path.suffix == ".lock" else None
            if found and found[0] and not is_dead(*found, path.parent):
                told.append({key: value for key, value in found[0].items() if key not in FOR_PROCESSES})
    return told


def _take(path: Path, busy: str, wait: bool, about: Mapping[str, Any] = NOBODY) -> HeldLock:
    line = {**about, **this_process(), "token": secrets.token_hex(8)}
    pause = 0.01
    while True:
        if _make(path, line):
            return HeldLock(path, line)
        found = _look(path)
        if found is None:
            continue
        if is_dead(*found, path.parent):
            _remove(path, found[0])
            continue
        if not wait:
            raise WorkdirError(
                f"another process ({_name(found[0])}) is running {busy}: wait for it, or use another --workdir"
            )
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _make(path: Path, line: Mapping[str, Any]) -> bool:
    """Make the lock, if there is none: whole, in one step."""
    candidate = path.with_name(f".{path.stem}.{line['token']}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # it was there, and another process let go of its lock just now and took it away
        if path.parent.is_file():
            raise
        return False
    try:
        candidate.write_bytes(_as_line(line))
        with contextlib.suppress(FileExistsError):
            os.link(candidate, path)
        return candidate.stat().st_nlink == 2  # so it is, even if the file server's answer was lost
    except FileNotFoundError:  # the same, after the folder was made
        return False
    except OSError as error:
        if error.errno in NO_LINKS:
            raise WorkdirError(
                f"{path.parent}: the file system has no hard links, which locks need: use another --workdir"
            ) from error
        raise
    finally:
        candidate.unlink(missing_ok=True)


def _remove(path: Path, dead: Mapping[str, Any]) -> None:
    """Remove the lock of a dead process, unless somebody else has by now."""
    token = dead.get("token", "unreadable")
    guard = _take(path.with_name(f"{path.stem}.{token}.lock"), "a takeover", wait=True)
    try:
        if (found := _look(path)) and found[0].get("token", "unreadable") == token:
            path.unlink(missing_ok=True)
    finally:
        guard.release()


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left."""
    for path in _files_of(folder):
        if (found := _look(path)) and is_dead(*found, folder):
            if path.suffix == ".lock":
                _remove(path, found[0])
            else:
                path.unlink(missing_ok=True)


def _files_of(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # no folder, so nobody holds anything
        return []


def _look(path: Path) -> tuple[dict[str, Any], float] | None:
    """What the holder of a lock tells, and when it last touched it; None when there is no lock.

    Opening a file asks a file server for its contents and times as they are now.
    """
    try:
        with path.open("rb") as handle:
            line, touched = handle.readline(), os.fstat(handle.fileno()).st_mtime
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            return None
        raise
    try:
        told = parse_json(line.decode())
    except ValueError:
        told = None
    return (told if isinstance(told, dict) else {}), touched


def _as_line(told: Mapping[str, Any]) -> bytes:
    return (json.dumps(told) + "\n").encode()


def _name(told: Mapping[str, Any]) -> str:
    host = told.get("host")
    elsewhere = f" on {host}" if host and host != os.uname().nodename else ""
    return f"pid {told.get('pid', '?')}{elsewhere}"
