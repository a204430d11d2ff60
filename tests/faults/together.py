"""Two runs at once in one work directory: of one step, of two, or of a step and a look at it."""

from __future__ import annotations

import random

from tests.faults.children import run, start
from tests.faults.place import Place, Step, clear
from tests.faults.verdicts import contents, differences, fell_short, leftovers


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case and what fell short in it, empty if it held."""
    step = rng.choice(place.steps)
    other = None if number % 3 == 2 else step if number % 3 else rng.choice(place.steps)
    return f"{step} and {other or 'status'}", _together(place, step, other)


def _together(place: Place, step: Step, other: Step | None) -> str:
    with place.copy() as workdir:
        clear(workdir, step)
        commands = [(*step.arguments, "-w", workdir), ("status", "-w", workdir)]
        if other is not None:
            commands[1] = (*other.arguments, "--force", "-w", workdir)
        ends = [child.end() for child in [start(*command) for command in commands]]
        for ended in ends:
            if found := fell_short(ended, may_be=[0, 1]):
                return found
        if other in (None, step) and ends[0].status and ends[1].status:
            return f"neither came through: {ends[0].err}"
        for each in filter(None, (step, other)):
            ended = run(*each.arguments, "-w", workdir)
            if found := fell_short(ended, may_be=[0]):
                return f"afterwards: {found}"
        if found := differences(contents(workdir), place.expected):
            return f"afterwards: {found}"
        return "left over: " + ", ".join(left) if (left := leftovers(workdir)) else ""
