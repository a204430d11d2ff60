"""What a user may name to be read: files that can be read again, with names that every library can open."""

from __future__ import annotations

from pathlib import Path

from llmi2i_cli.errors import InputError
from llmi2i_cli.files.places import Place


def check_given(path: Place) -> None:
    """InputError when there is neither file nor directory at `path`, or its name is no UTF-8."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not isinstance(path, Path):  # of a store, which has no pipes
        return
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is a pipe or a device, and inputs are read more than once: write it to a file first")
    if not has_utf8_name(path):
        raise InputError(f"{path}: the name is not UTF-8: rename it")


def has_utf8_name(path: Path) -> bool:
    """Whether the bytes of a name are UTF-8; Polars opens no others."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
