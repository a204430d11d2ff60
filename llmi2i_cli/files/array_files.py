"""Arrays and numbers in files, for processes that share them: a machine holds each once, however many read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llmi2i_cli.files.atomic import replacing

MAPPED_BYTES = 1 << 16  # smaller files are read


def write_array(path: Path, value: Any) -> None:
    """Write what is not there yet, whole."""
    if path.exists():
        return
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, value)


def read_array(path: Path) -> Any:
    """A number, or an array that shares its memory with all processes of the machine until it is written to."""
    mapped = path.stat().st_size > MAPPED_BYTES
    array = np.asarray(np.load(path, mmap_mode="c" if mapped else None))
    return array if array.ndim else array.item()
