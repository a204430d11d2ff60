"""JSON documents, read so that whatever is wrong with one is a ValueError."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def parse_json(text: str) -> Any:
    """The value of a JSON text. ValueError if it is none, has a key twice, or is nested too deeply to be read."""
    try:
        return json.loads(text, object_pairs_hook=object_of_pairs)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def object_of_pairs(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """The object of keys and values. ValueError if a key is there twice, or is no text."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is there twice")
        if not isinstance(key, str):
            raise ValueError(f"the key {key!r} is no text")
        found[key] = value
    return found


def read_json(path: Path) -> Any:
    """The value of a JSON file. ValueError as `parse_json`, also for what is no UTF-8; OSError if it cannot be read."""
    return parse_json(path.read_text(encoding="utf-8"))
