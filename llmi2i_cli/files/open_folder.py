"""A directory that is held open: the files that are opened in it belong together, whatever takes its name meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO


class OpenFolder:
    """A directory as it was when it was opened; a context manager. OSError if there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def open(self, name: str) -> BinaryIO:
        """A file of it, to read."""
        return open(name, "rb", opener=lambda name, flags: os.open(name, flags, dir_fd=self._descriptor))

    def was_replaced(self) -> bool:
        """Whether its path leads to another directory by now."""
        return self.path.exists() and not os.path.samestat(os.fstat(self._descriptor), self.path.stat())

    def __enter__(self) -> OpenFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
