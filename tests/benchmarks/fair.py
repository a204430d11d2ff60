"""What makes a comparison fair, and what a reader has to know of it: the benchmarks' options and their one table.

- `--threads N` holds for both sides. Libraries read it when they are loaded, so everything is measured in processes
  that are started afterwards (`own_process`).
- Sides take turns, so that what else the machine does meets both; the clock is the wall's, for it counts whatever a
  side waits for.
- The best of the runs is shown with the median behind it, as seconds or as work done a second, and so is their ratio.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

CLOCK = "wall"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")  # OpenMP: torch, implicit and BLAS


def parser(description: str | None, parts: Iterable[str], runs: int) -> argparse.ArgumentParser:
    """The options that all benchmarks have; `parts` are what can be measured apart, `runs` how often by default."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--part", action="append", choices=list(parts), help="measure only this; repeatable")
    options.add_argument("--threads", type=int, default=n_cores(), help="of each side; by default all cores")
    options.add_argument("--runs", type=int, default=runs, help="of each side, taking turns")
    return options


def parse(options: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of this run, all parts where none is named; `--threads` holds from here on. Prints the machine."""
    found = options.parse_args()
    if not 1 <= found.threads <= n_cores():
        options.error(f"--threads {found.threads}: there are {n_cores()} cores")
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(found.threads)))
    print(f"{processor()}, {n_cores()} cores, {platform.system()}")
    return found


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def threads() -> int:
    """What `--threads` said, in the processes that it holds for."""
    return int(os.environ["OMP_NUM_THREADS"])


def processor() -> str:
    """The processor's name, as Linux tells it, or else its architecture."""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


@dataclass(frozen=True)
class Side:
    """What one side took.

    Attributes
    ----------
    seconds : of each run
    amount : of work in a run, in the comparison's unit
    peak_mib : peak resident memory of its process, where it had one of its own
    """

    seconds: list[float]
    amount: float = 1.0
    peak_mib: float | None = None

    @property
    def best_s(self) -> float:
        """Seconds for a unit of work in the best run."""
        return min(self.seconds) / self.amount

    @property
    def median_s(self) -> float:
        """Seconds for a unit of work in the median run."""
        return median(self.seconds) / self.amount


@dataclass(frozen=True)
class Comparison:
    """A row of the table: `what` is done, against which peer; in `unit` a second, or in seconds where it is empty."""

    what: str
    against: str
    ours: Side
    theirs: Side
    unit: str = ""


def take_turns(runs: int, *work: Callable[[], Any]) -> list[tuple[list[float], Any]]:
    """Seconds of each run of each function and what it returned last; the functions take turns."""
    seconds: list[list[float]] = [[] for _ in work]
    results: list[Any] = [None] * len(work)
    for _ in range(runs):
        for n, function in enumerate(work):
            start = time.perf_counter()
            results[n] = function()
            seconds[n].append(time.perf_counter() - start)
    return list(zip(seconds, results, strict=True))


def print_comparisons(rows: Iterable[Comparison]) -> None:
    """The table, each row as soon as it is there."""
    print_table(
        ("what", "against", "threads", "clock", "runs", "ours", "theirs", "ratio", "peak MiB: ours, theirs"),
        (
            (
                row.what,
                row.against,
                f"{threads()} on each side",
                CLOCK,
                str(len(row.ours.seconds)),
                _both(row.ours.best_s, row.ours.median_s, row.unit),
                _both(row.theirs.best_s, row.theirs.median_s, row.unit),
                f"{row.theirs.best_s / row.ours.best_s:.1f} ({row.theirs.median_s / row.ours.median_s:.1f})",
                ", ".join(f"{side.peak_mib:,.0f}" for side in (row.ours, row.theirs) if side.peak_mib),
            )
            for row in rows
        ),
    )


def _both(best_s: float, median_s: float, unit: str) -> str:
    if unit:
        return f"{1 / best_s:,.0f} ({1 / median_s:,.0f}) {unit}/s"
    return f"{best_s:.3f} ({median_s:.3f}) s"


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """A Markdown table, each row as soon as it is there."""
    names = list(columns)
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)
