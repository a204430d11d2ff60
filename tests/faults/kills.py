"""kill -9, at a change that a step makes to the disk or at any moment, then the same command again."""

from __future__ import annotations

import random

from tests.faults.children import at_change, at_second, die, run
from tests.faults.place import Place, Step, clear
from tests.faults.verdicts import contents, differences, fell_short, leftovers


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case and what fell short in it, empty if it held."""
    step = rng.choice(place.steps)
    by_change, anew = number % 3 > 0, rng.random() < 0.5
    usual = place.usual(step)
    moment = rng.randint(1, usual.changes) if by_change else rng.uniform(0.001, usual.seconds)
    name = f"{step}{', cleared before' * anew}: killed at {'change' if by_change else 'second'} {moment:.3g}"
    return name, _killed(place, step, moment, by_change, anew)


def _killed(place: Place, step: Step, moment: float, by_change: bool, anew: bool) -> str:
    with place.copy() as workdir:
        if anew:
            clear(workdir, step)
        command = (*step.arguments, *([] if anew else ["--force"]), "-w", workdir)
        run(*command, before=lambda: at_change(int(moment), workdir, die) if by_change else at_second(moment))
        there = contents(workdir)
        half = {name: digest for name, digest in place.expected.items() if name in there}
        if found := differences(there, half if anew else place.expected):
            return f"after the kill {found}"
        ended = run(*step.arguments, "-w", workdir)
        if found := fell_short(ended, may_be=[0]) or differences(contents(workdir), place.expected):
            return f"the same command again: {found}"
        return "left over: " + ", ".join(left) if (left := leftovers(workdir)) else ""
