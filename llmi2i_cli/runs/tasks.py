"""Work as a list of tasks that do not depend on each other, and who does it.

A task reads files of the work directory and writes one file, under a temporary name that it renames when it is whole:
the file is there, or the task is to be done. So it does not matter who does it, nor how often: this process, a shard
with a part of the list, or workers elsewhere (`scale.ray_workers`). What is killed costs the tasks that it was at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

Task = TypeVar("Task")


class Runner(Protocol):
    """Has all of `tasks` done. `do` and the tasks can be sent to other processes; `on_done` is called after each."""

    def __call__(self, do: Callable[[Task], None], tasks: Sequence[Task], on_done: Callable[[], None]) -> None: ...


def here(do: Callable[[Task], None], tasks: Sequence[Task], on_done: Callable[[], None]) -> None:
    """The runner of this process: one task after the other."""
    for task in tasks:
        do(task)
        on_done()


class SentAsFields:
    """A dataclass that is sent to another process as its fields alone: what it has read it reads there again.

    Paths are sent in full, because the other process may be at work in another directory.
    """

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        values = (getattr(self, each.name) for each in fields(self))  # type: ignore[arg-type]
        return type(self), tuple(value.resolve() if isinstance(value, Path) else value for value in values)
