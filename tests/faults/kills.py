"""kill -9, at a change that a step makes to the disk or at any moment, then the same command again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from tests.faults.children import at_change, die, run, start
from tests.faults.place import Place, Step, clear
from tests.faults.verdicts import contents, differences, fell_short, leftovers

LONGEST_SECONDS = 3.0


def cases(place: Place, rng: random.Random, n: int) -> Iterator[tuple[str, str]]:
    """Yield each case and what fell short in it, empty if it held."""
    for number in range(n):
        step = rng.choice(place.steps)
        by_change, anew = number % 3 > 0, rng.random() < 0.5
        moment = rng.randint(1, place.changes_of(step)) if by_change else rng.random() ** 2 * LONGEST_SECONDS
        name = f"{step}{', cleared before' * anew}: killed at {'change' if by_change else 'second'} {moment:.3g}"
        yield name, _killed(place, step, moment, by_change, anew)


def _killed(place: Place, step: Step, moment: float, by_change: bool, anew: bool) -> str:
    with place.copy() as workdir:
        if anew:
            clear(workdir, step)
        command = (*step.arguments, *([] if anew else ["--force"]), "-w", workdir)
        if by_change:
            run(*command, before=lambda: at_change(int(moment), workdir, die))
        else:
            child = start(*command)
            time.sleep(moment)
            child.kill()
            child.end()
        there = contents(workdir)
        half = {name: digest for name, digest in place.expected.items() if name in there}
        if found := differences(there, half if anew else place.expected):
            return f"after the kill {found}"
        ended = run(*step.arguments, "-w", workdir)
        if found := fell_short(ended, may_be=[0]) or differences(contents(workdir), place.expected):
            return f"the same command again: {found}"
        return "left over: " + ", ".join(left) if (left := leftovers(workdir)) else ""
