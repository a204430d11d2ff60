"""What a `Path` is asked about inputs, of inputs that are not files on the disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import PurePath
from typing import NamedTuple, Self


class Stat(NamedTuple):
    """What `os.stat_result` calls size and time."""

    st_size: int
    st_mtime_ns: int


class Source(ABC):
    """An input that was found to be there, with its name and its place.

    Attributes
    ----------
    size, mtime_ns : bytes, and the time of the last change in nanoseconds since 1970
    """

    size: int
    mtime_ns: int

    @property
    @abstractmethod
    def _path(self) -> PurePath:
        """Where it is, without the scheme of a URL."""

    @property
    def name(self) -> str:
        return self._path.name

    @property
    def stem(self) -> str:
        return self._path.stem

    @property
    def suffix(self) -> str:
        return self._path.suffix

    @property
    def parent(self) -> PurePath:
        return self._path.parent

    def with_suffix(self, suffix: str) -> PurePath:
        return self._path.with_suffix(suffix)

    def exists(self) -> bool:
        return True

    def resolve(self) -> Self:
        return self

    def stat(self) -> Stat:
        return Stat(self.size, self.mtime_ns)
