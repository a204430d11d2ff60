"""A disk that fills up: at a change to it, past a size of a file, or truly, on a file system of some kilobytes."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.children import at_change, no_space, run
from tests.faults.place import Place, Step, clear
from tests.faults.verdicts import contents, differences, fell_short, leftovers

LEAST_KIB, MOST_KIB = 16, 4096  # left on the small file system
DISK_MIB = 64


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case and what fell short in it, empty if it held. Only root can mount a small file system."""
    ways = 3 if os.geteuid() == 0 else 2
    step = rng.choice(place.steps)
    if number % ways == 0:
        change = rng.randint(1, place.usual(step).changes)
        return f"{step}: full at change {change}", _refused(place, step, _at_change(change))
    if number % ways == 1:
        largest = int(10 ** rng.uniform(3, 5.5))
        return f"{step}: no file above {largest} bytes", _refused(place, step, _no_larger_file(largest))
    kib = rng.randint(LEAST_KIB, MOST_KIB)
    return f"{step}: {kib} KiB left", _on_a_small_disk(place, step, kib)


def _at_change(number: int) -> Callable[[Path], None]:
    return lambda workdir: at_change(number, workdir, no_space)


def _no_larger_file(n_bytes: int) -> Callable[[Path], None]:
    return lambda workdir: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def _refused(place: Place, step: Step, limit: Callable[[Path], None]) -> str:
    with place.copy() as workdir:
        ended = run(*step.arguments, "--force", "-w", workdir, before=lambda: limit(workdir))
        if found := fell_short(ended, may_be=[0, 1]) or differences(contents(workdir), place.expected):
            return found
        return _again(place, step, workdir)


def _on_a_small_disk(place: Place, step: Step, kib: int) -> str:
    with _small_disk(place.scratch / "disk") as disk:
        workdir = disk / "work"
        shutil.copytree(place.finished, workdir)
        clear(workdir, step)
        free = shutil.disk_usage(disk).free
        (disk / "filling").write_bytes(bytes(free - kib * 1024))
        ended = run(*step.arguments, "-w", workdir)
        there = contents(workdir)
        whole = {name: digest for name, digest in place.expected.items() if name in there}
        if found := fell_short(ended, may_be=[0, 1]) or differences(there, whole):
            return found
        (disk / "filling").unlink()
        return _again(place, step, workdir)


def _again(place: Place, step: Step, workdir: Path) -> str:
    """Where there is room again: the same command, to its end."""
    ended = run(*step.arguments, "-w", workdir)
    if found := fell_short(ended, may_be=[0]) or differences(contents(workdir), place.expected):
        return f"with room again: {found}"
    return "left over: " + ", ".join(left) if (left := leftovers(workdir)) else ""


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, in memory, at `folder`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()
