"""Streams that are closed, full or read by nobody, and environments that make no sense; in processes of their own."""

from __future__ import annotations

import os
import random
import subprocess
import sys

from tests.faults.children import Ended
from tests.faults.place import Place
from tests.faults.verdicts import contents, differences, fell_short

REDIRECTS = (
    *(
        "",
        ">&-",
        "2>&-",
        ">&- 2>&-",
        "<&-",
        ">/dev/full",
        "2>/dev/full",
        ">/dev/full 2>&1",
        "1</dev/null",
        "2</dev/null",
    ),
    *("| true", "| head -c 1", "2>&1 | true", "2>&1 >/dev/full", "<&- >&- 2>&-"),
)
VARIABLES = {
    **dict.fromkeys(
        ("PYTHONIOENCODING",), ("ascii", "latin-1", "utf-16", "cp1252:strict", "nonsense", "utf-8:replace")
    ),
    **dict.fromkeys(("LANG", "LC_ALL"), ("C", "POSIX", "de_DE.UTF-8", "nonsense")),
    **dict.fromkeys(("COLUMNS", "LINES"), ("0", "1", "-5", "abc", "100000")),
    **dict.fromkeys(("TERM", "NO_COLOR", "FORCE_COLOR"), ("", "dumb", "1", "nonsense")),
    **dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"), ("0", "-1", "abc", "", "1000000")),
    **dict.fromkeys(("RANK", "WORLD_SIZE", "LOCAL_RANK"), ("abc", "-1", "", "0", "1.5", "٣")),
    **dict.fromkeys(("HOME", "TMPDIR", "PWD", "HF_HOME"), ("", "/nowhere", "/dev/null", "relative")),
    **dict.fromkeys(("LLMI2I_WORKDIR",), ("", "/dev/null", "/nowhere/at/all", "é")),
}


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case and what fell short in it, empty if it held."""
    commands = (
        ("status",),
        ("status", "--json"),
        ("--version",),
        ("train-i2i", "--help"),
        ("train-i2i", "--model", "swing", "--force"),
        ("evaluate", "--model", "swing", "--data", "fused", "--baseline", "real", "--json"),
        ("recommend", "--model", "swing", "nothing"),
        ("export-index", "--model", "nonsense"),
    )
    command, redirect = rng.choice(commands), rng.choice(REDIRECTS)
    variables = {name: rng.choice(VARIABLES[name]) for name in rng.sample(list(VARIABLES), rng.randint(0, 2))}
    return f"{variables} {' '.join(command)} {redirect}", _surrounded(place, command, redirect, variables)


def _surrounded(place: Place, command: tuple[str, ...], redirect: str, variables: dict[str, str]) -> str:
    with place.copy() as workdir:
        where = () if command == ("--version",) or "--help" in command else ("-w", workdir)
        called = ["bash", "-c", f'set -o pipefail; "$@" {redirect}', "bash", sys.executable, "-m", "llmi2i_cli"]
        done = subprocess.run(
            [*called, *command, *where],
            capture_output=True,
            check=False,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
        )
        out, err = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
        err = "".join(line for line in err.splitlines(keepends=True) if not line.startswith("bash: warning"))
        if "nonsense" in variables.get("PYTHONIOENCODING", ""):
            return ""  # Python itself does not start
        ended = Ended(done.returncode, "" if "2>&1" in redirect else out, err)
        if redirect and ended.status:  # an error that cannot be written, or results that could not
            ended = Ended(ended.status, "", err if "Error: " in err else f"{err}\nError: ")
        return fell_short(ended, may_be=(0, 1, 2, 120)) or differences(contents(workdir), place.expected)
