"""How much memory a training takes, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from llmi2i_cli.cli.printing import print_json, print_table

if TYPE_CHECKING:
    from llmi2i_cli.llm.memory import Memory

GB = 1e9


def print_memory(by_way: Mapping[str, Memory], as_json: bool) -> None:
    """GB of one process, a row for each way of training; as JSON in bytes."""
    parts = {way: asdict(memory) | {"total": memory.total} for way, memory in by_way.items()}
    if as_json:
        print_json(parts)
        return
    names = list(next(iter(parts.values())))
    rows = [(way, *(f"{parts[way][name] / GB:.2f}" for name in names)) for way in parts]
    print_table("GB in each process", ("trained", *names), rows, numeric=names)
