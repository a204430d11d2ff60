"""What a user sees while a stage works: a progress bar and notices, all on stderr; results alone go to stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from llmi2i_cli.runs.terminal import shown

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DELAY_SECONDS = 2.0  # quicker work shows no bar
REPORT_SECONDS = 2.0  # between two reports to other processes


def notice(message: str) -> None:
    """One line for the user on stderr; where that cannot be written to, the work goes on without it."""
    with suppress(OSError):
        sys.stderr.write(shown(message) + "\n")
        sys.stderr.flush()


class ProgressBar:
    """A bar: the share done, elapsed and remaining time, and a free text (the loss, a rate). Shown after 2 s.

    `report` is called with the keywords ``doing``, ``done`` and ``total``: at the start, then every 2 s at most.
    """

    def __init__(self, title: str, total: int | None, report: Callable[..., Any] | None = None) -> None:
        self.title, self.total, self.done = title, total, 0
        self._shown = sys.stderr.isatty()
        self._start = self._reported = time.monotonic()
        self._report = report
        self._tell()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        """Set how much is done (and, if it only now is known, of how much)."""
        self.done, self.total = done, total if total is not None else self.total
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            self._tell()
        if not self._shown or now - self._start < DELAY_SECONDS:
            return
        if self._progress is None:
            self._open()
        assert self._progress is not None and self._task is not None  # opened above
        self._progress.update(self._task, completed=done, total=self.total, text=text)

    def advance(self, step: int = 1, text: str = "") -> None:
        self.update(self.done + step, text=text)

    def _tell(self) -> None:
        if self._report:
            self._report(doing=self.title, done=self.done, total=self.total)

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(self.title, total=self.total, text="")
        self._progress.start()

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def progress_bar(
    title: str, total: int | None = None, *, report: Callable[..., Any] | None = None
) -> Iterator[ProgressBar]:
    """A `ProgressBar` that is taken away at the end of the block."""
    bar = ProgressBar(title, total, report)
    try:
        yield bar
    finally:
        bar.close()
