"""Files and directories that may not be read, written or entered."""

from __future__ import annotations

import ctypes
import os
import random
from pathlib import Path

from tests.faults.children import run
from tests.faults.place import Place, Step
from tests.faults.verdicts import contents, differences, fell_short, leftovers

MODES = (0o000, 0o200, 0o400, 0o444, 0o555)
CAPABILITY_VERSION = 0x20080522  # of Linux's <linux/capability.h>


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case and what fell short in it, empty if it held. Every file and directory is closed in turn."""
    names = sorted({str(parent) for name in place.expected for parent in (Path(name), *Path(name).parents)})
    step, name, mode = rng.choice(place.steps), names[number % len(names)], rng.choice(MODES)
    options = ["--force"] * rng.randint(0, 1)
    return f"{step} {' '.join(options)}: {name} has {mode:03o}", _closed(place, step, name, mode, options)


def _closed(place: Place, step: Step, name: str, mode: int, options: list[str]) -> str:
    with place.copy() as workdir:
        path = workdir / name
        usual = path.stat().st_mode
        path.chmod(mode)
        ended = run(*step.arguments, *options, "-w", workdir, before=_as_anybody)
        if path.exists():
            path.chmod(usual)
        if found := fell_short(ended, may_be=[0, 1]) or differences(contents(workdir), place.expected):
            return found
        ended = run(*step.arguments, "-w", workdir, before=_as_anybody)
        if found := fell_short(ended, may_be=[0]) or differences(contents(workdir), place.expected):
            return f"opened again: {found}"
        return "left over: " + ", ".join(left) if (left := leftovers(workdir)) else ""


def _as_anybody() -> None:
    """In a child: obey permissions, as root does not."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
        nothing = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, each in two words
        if ctypes.CDLL(None, use_errno=True).capset(header, nothing):
            raise OSError(ctypes.get_errno(), "capset")
