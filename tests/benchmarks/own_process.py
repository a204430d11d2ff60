"""Work in a process of its own, so that its peak memory is its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def peak_mib() -> float:
    """Peak resident memory of this process, MiB (Linux)."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def in_own_process(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What `work` returns in a fresh interpreter, and that one's peak memory in MiB."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work, *arguments))
    process.start()
    sender.close()
    try:
        result, peak = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{work.__name__} failed in its own process: see above") from None
    process.join()
    return result, peak


def _send(sender: Connection, work: Callable[..., Any], *arguments: Any) -> None:
    sender.send((work(*arguments), peak_mib()))
