"""An item's neighbours on the real log beside those on the fused one, for people."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from llmi2i_cli.cli.printing import print_table

COLUMNS = ("rank", "real", "from", "users", "fused", "from", "users", "generated", "was")


def print_comparison(compared: Mapping[str, Any]) -> None:
    """Print what `recommend --compare` found: the same rank of both logs on one line."""
    rows = []
    for rank, (real, fused) in enumerate(zip_longest(compared["before"], compared["after"]), start=1):
        row: list[Any] = [rank, *((_named(real), _shares(real), real["users"]) if real else [None] * 3)]
        if fused:
            was = "new" if fused["rank_in_other"] is None else fused["rank_in_other"]
            row += [_named(fused), _shares(fused), fused["users"], f"{fused['generated']:.3g}", was]
        rows.append([*row, *[None] * (len(COLUMNS) - len(row))])
    print_table(
        f"neighbours of {_named(compared)}, {compared['train_count']:,} times in train; users who have both, "
        "and the weight of the pairs that the LLM generated",
        COLUMNS,
        rows,
        numeric=("rank", "users", "generated", "was"),
    )


def _named(item: Mapping[str, Any]) -> str:
    return f"{item['title']} ({item['item_id']})" if item["title"] else item["item_id"]


def _shares(neighbour: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in neighbour["shares"].items() if share >= 0.005)
