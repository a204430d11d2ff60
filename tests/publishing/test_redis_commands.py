from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.errors import UsageError
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.publishing import redis_commands
from llmi2i_cli.publishing.redis_commands import check_ids, commands

ITEM_IDS = pl.Series("item_id", ["é", "b", "10"])
NEIGHBOURS = Neighbours(
    np.array([[2, 1], [-1, -1], [0, -1]], np.int32), np.array([[0.5, 1e-7], [0, 0], [0.1, 0]], np.float32)
)


def plainly(*commands_: list[str]) -> bytes:
    """Commands in Redis's protocol, argument by argument."""
    parts = []
    for command in commands_:
        parts.append(b"*%d\r\n" % len(command))
        for argument in command:
            parts.append(b"$%d\r\n%s\r\n" % (len(argument.encode()), argument.encode()))
    return b"".join(parts)


@pytest.mark.parametrize("at_once", [1, 1000])
@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("zset", [["ZADD", "n:é", "0.5", "10", "1e-7", "b"], ["ZADD", "n:10", "0.1", "é"]]),
        ("list", [["MSET", "n:é", "10:0.5,b:1e-7"], ["MSET", "n:10", "é:0.1"]]),
    ],
)
def test_commands_are_of_the_items_with_neighbours(monkeypatch, layout, expected, at_once):
    monkeypatch.setattr(redis_commands, "NEIGHBOURS_AT_ONCE", at_once)
    encoded = list(commands(layout, "n:", NEIGHBOURS, ITEM_IDS))
    if layout == "list" and at_once > 1:  # one command sets all of them
        expected = [["MSET", *expected[0][1:], *expected[1][1:]]]
    assert b"".join(text for text, _ in encoded) == plainly(*expected)
    assert sum(n for _, n in encoded) == len(expected)


@pytest.mark.parametrize("wrong", ["a:b", "a,b"])
def test_ids_that_a_list_cannot_hold(wrong):
    item_ids = pl.Series("item_id", ["a", wrong])
    check_ids("zset", item_ids)
    with pytest.raises(UsageError, match=f"item '{wrong}' holds .*: give zset"):
        check_ids("list", item_ids)
