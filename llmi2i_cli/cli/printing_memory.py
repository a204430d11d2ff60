"""How much memory a training takes, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from llmi2i_cli.cli.printing import print_json, print_table

GB = 1e9


def print_memory(bytes_by_way: Mapping[str, Mapping[str, int]], as_json: bool) -> None:
    """GB of one process by what takes them, a row for each way of training; as JSON in bytes."""
    if as_json:
        print_json(bytes_by_way)
        return
    names = list(next(iter(bytes_by_way.values())))
    rows = [(way, *(f"{taken[name] / GB:.2f}" for name in names)) for way, taken in bytes_by_way.items()]
    print_table("GB in each process", ("trained", *names), rows, numeric=names)
