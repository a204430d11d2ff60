"""From the dotted path in a row of a table to the function: imported when it is needed, not before."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load(path: str) -> Any:
    """What ``package.module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
