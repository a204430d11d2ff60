"""Objects in a cloud's store (S3, Google Cloud Storage, Azure), which answer what a `Path` is asked about inputs.

Credentials, region and endpoint come from the environment (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``,
``GOOGLE_APPLICATION_CREDENTIALS``, ``AZURE_STORAGE_ACCOUNT_KEY``, ...); nothing of them is kept or written.
"""

from __future__ import annotations

import errno
import functools
import glob
import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from llmi2i_cli.choices.formats import FORMATS
from llmi2i_cli.errors import InputError, UsageError
from llmi2i_cli.files.source import Source

SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss", "file")
RETRIES = {"max_retries": 5, "retry_timeout": timedelta(minutes=1)}
BUFFER_BYTES = 8 * 2**20  # of an object, per request


@dataclass(frozen=True)
class CloudObject(Source):
    """An object as it was listed.

    Attributes
    ----------
    digest : the store's own word for its contents (ETag), or else its size and time
    """

    url: str
    size: int
    mtime_ns: int
    digest: str

    def __str__(self) -> str:
        return self.url

    @property
    def _path(self) -> PurePosixPath:
        return PurePosixPath(self.url.partition("://")[2])

    def is_file(self) -> bool:
        return True

    def is_dir(self) -> bool:
        return False

    def open(self, mode: str) -> BinaryIO:
        """Its bytes, read in parts as they are needed. OSError when that fails."""
        root, key = _split(self.url)
        with _as_os_error():
            reader = _obstore().open_reader(_store(root), key, buffer_size=BUFFER_BYTES)
        return cast(BinaryIO, io.BufferedReader(_Stream(reader)))


class _Stream(io.RawIOBase):
    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _as_os_error():
            data = self._reader.read(len(buffer))
        buffer[: len(data)] = bytes(data)
        return len(data)


def is_url(text: str) -> bool:
    return "://" in text


def find_objects(url: str) -> list[CloudObject]:
    """The objects that a URL stands for, sorted by name: one, all below it, or those that match a pattern.

    Names below it that start with ``.`` or ``_`` are left out, and so are empty objects (marks of folders).

    Raises
    ------
    UsageError : another scheme, or credentials within the URL
    InputError : there is no such object
    OSError : the store cannot be asked
    """
    check_url(url)
    root, key = _split(url)
    key = key.rstrip("/")
    pattern = key.split("/") if glob.has_magic(key) else None
    if pattern is None and (found := find_object(url.rstrip("/"))):
        return [found]
    fixed = list(itertools.takewhile(lambda part: not glob.has_magic(part), key.split("/")))
    objects = list_below(f"{root}{'/'.join(fixed)}")
    for row in FORMATS.values():
        if row.folder_log and (log := _first_with(objects, f"/{row.folder_log}/", row.folder_log_suffix)):
            table = log.partition(f"/{row.folder_log}/")[0]
            raise InputError(f"{table}, within {url}, is a table of {row.name}: name it itself")
    n_given = len(fixed) if key else 0
    below = [each for each in objects if not _is_hidden(_split(each.url)[1].split("/")[n_given:]) and each.size]
    if pattern is not None:
        below = [each for each in below if _matches(_split(each.url)[1].split("/"), pattern)]
    if not below:
        raise InputError(f"{url}: {'no such object' if pattern is None else 'matches no object'}")
    return sorted(below, key=str)


def _first_with(objects: Sequence[CloudObject], part: str, end: str) -> str | None:
    return next((each.url for each in objects if part in each.url and each.url.endswith(end)), None)


def list_below(url: str, *, first: bool = False) -> list[CloudObject]:
    """All objects below a URL, or the `first` of them alone. OSError when the store cannot be asked."""
    root, prefix = _split(url)
    with _as_os_error():
        objects = _list(root, prefix)
        return list(itertools.islice(objects, 1) if first else objects)


def find_object(url: str) -> CloudObject | None:
    """The object of this very name, as it is now; None without one. OSError when the store cannot be asked."""
    with _as_os_error():
        return _head(*_split(url))


def check_url(url: str) -> None:
    """UsageError for another scheme, or credentials within the URL."""
    parts = urlsplit(url)
    if parts.password or any(word in parts.query.lower() for word in ("sig=", "signature", "token", "secret")):
        raise UsageError("a URL among the inputs holds credentials: leave them out, they come from the environment")
    if parts.scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise UsageError(f"{url}: files come from the disk or from {known}")


def _split(url: str) -> tuple[str, str]:
    """The store's root and the key in it."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}/", key


def _head(root: str, key: str) -> CloudObject | None:
    try:
        return _object(root, _obstore().head(_store(root), key)) if key else None
    except FileNotFoundError:
        return None


def _list(root: str, prefix: str) -> Iterator[CloudObject]:
    for batch in _obstore().list(_store(root), prefix=prefix or None):
        for meta in batch:
            yield _object(root, meta)


def _object(root: str, meta: Any) -> CloudObject:
    mtime_ns = int(meta["last_modified"].timestamp()) * 10**9
    return CloudObject(root + meta["path"], meta["size"], mtime_ns, meta["e_tag"] or f"{meta['size']}-{mtime_ns}")


def _is_hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith((".", "_")) for part in parts)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a pattern matches a name or a folder that it lies in; ``**`` stands for any number of folders."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _obstore() -> Any:
    try:
        import obstore
        import obstore.store
    except ImportError as error:
        raise InputError("files in a cloud's store need the package obstore: pip install 'llmi2i[cloud]'") from error
    return obstore


@functools.lru_cache(maxsize=64)
def _store(root: str) -> Any:
    return _obstore().store.from_url(root, retry_config=RETRIES)


@contextmanager
def _as_os_error() -> Iterator[None]:
    """What the store's client raises, as an OSError with the first line of it, and where its settings come from."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the client's errors have no base of their own
        if isinstance(error, OSError) and error.strerror:
            raise
        told = str(error).partition("\n")[0]
        raise OSError(errno.EIO, f"{told} (credentials and address come from the environment)") from error
