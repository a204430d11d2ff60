"""JSON documents, read so that whatever is wrong with one is a ValueError."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def parse_json(text: str) -> Any:
    """The value of a JSON text. ValueError if it is none, or one nested more deeply than can be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path) -> Any:
    """The value of a JSON file. ValueError as `parse_json`, also for what is no UTF-8; OSError if it cannot be read."""
    return parse_json(path.read_text(encoding="utf-8"))
