"""Amazon's dumps: JSON lines with its own names of fields, some of those of 2014 Python literals instead."""

from __future__ import annotations

from collections.abc import Sequence

from llmi2i_cli.data.json_lines import JsonLinesFile, parse_object
from llmi2i_cli.files.places import Place

KEYS = ("reviewerID", "asin", "parent_asin")


def open_amazon(path: Place) -> JsonLinesFile:
    """A file of reviews or metadata. InputError : as for any `JsonLinesFile`."""
    return JsonLinesFile(path, python_literals=True)


def is_amazon(lines: Sequence[str]) -> bool:
    """Whether a file that begins with `lines` holds objects with Amazon's keys."""
    first = next((line for line in lines if line.strip()), "")
    try:
        found = parse_object(first, python_literals=True)
    except ValueError:
        return False
    return any(key in found for key in KEYS)
