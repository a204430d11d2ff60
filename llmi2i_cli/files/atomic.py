"""Writing so that nothing half-written is ever seen under a file's own name."""

from __future__ import annotations

import ctypes
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; renamed to `path` when the block is done, removed when it fails.

    No two processes have the same one, on whatever machines they are.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def put_in_place(source: Path, target: Path) -> None:
    """Rename a file or a directory to `target`: whoever opens that finds what was there or what now is, whole.

    A directory that was there is then at `source`. Where the file system cannot exchange two names (NFS), there is a
    moment between two renames in which nothing is at `target`.
    """
    if not target.is_dir():
        source.replace(target)
    elif not _exchange(source, target):
        former = source.with_name(f"{source.name}.former")
        target.replace(former)
        source.replace(target)
        former.replace(source)


AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's <fcntl.h> and <linux/fs.h>


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and not rename(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; what is no UTF-8 in a file name is escaped as JSON can."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
