"""RecBole's atomic files (`.inter`, `.item`, `.user`): tab-separated, never quoted, a header of ``name:type``."""

from __future__ import annotations

from collections.abc import Sequence

from llmi2i_cli.data.delimited import DelimitedFile
from llmi2i_cli.files.places import Place


def open_atomic(path: Place) -> DelimitedFile:
    """An atomic file; types are taken off the column names. InputError : as for any `DelimitedFile`."""
    return DelimitedFile(path, recbole=True)


def is_atomic(lines: Sequence[str]) -> bool:
    """Whether a file that begins with `lines` has a header of ``name:type``."""
    first = next((line for line in lines if line.strip()), "")
    return "\t" in first and all(":" in name for name in first.split("\t"))
