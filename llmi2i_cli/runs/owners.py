"""Who holds a lock, and whether that process is still there.

A process of this machine is known by its number and the time that it was started at, so that a number which the system
has given away again is not mistaken for it. Of a process on another machine nothing can be known but its last sign of
life: it touches its lock every `BEAT_SECONDS`. How long ago that was is told by the clock of the file system, which all
machines share; their own clocks may differ.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEAT_SECONDS = 10.0
SILENT_SECONDS = 120.0  # a process on another machine that has been silent for so long is taken for dead
NOT_LINUX = "started at a time that cannot be told"


def this_process() -> dict[str, Any]:
    """What a lock tells of this process: ``pid``, ``host`` and ``started_at`` (UTC), and what `is_dead` asks for."""
    pid = os.getpid()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "pid": pid,
        "host": os.uname().nodename,
        "started_at": now,
        "machine": machine(),
        "process": start_of(pid),
    }


def machine() -> str:
    """Where process numbers mean the same: one boot of one machine, and of that one container."""
    parts = [os.uname().nodename]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:  # not Linux: the name has to do
        pass
    return " ".join(parts)


def start_of(pid: int) -> str:
    """When a process of this machine was started, in clock ticks since the boot; empty when it is no longer there.

    `NOT_LINUX` where the system does not tell, or keeps others' processes to itself.
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return ""
    except PermissionError:  # it is there, and somebody else's
        pass
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return NOT_LINUX
    return "" if state in "ZX" else rest[18]  # it has ended, though its parent may not have asked yet


def is_dead(told: Mapping[str, Any], last_sign: float, folder: Path) -> bool:
    """Whether the process behind a lock is gone.

    Parameters
    ----------
    told : what the lock tells; one that cannot be read counts as another machine's
    last_sign : when the lock was last touched
    folder : in which the lock lies
    """
    if told.get("machine") == machine() and isinstance(told.get("pid"), int):
        return start_of(told["pid"]) not in (told.get("process"), NOT_LINUX)
    return clock_of(folder) - last_sign > SILENT_SECONDS


def clock_of(folder: Path) -> float:
    """Seconds by the clock of the file system that holds `folder`; by this machine's where nothing can be written."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()
