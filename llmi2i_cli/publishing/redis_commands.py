"""An index as Redis commands, thousands of items at a time.

A layout is a function that returns an `Encoding`, and a row in `choices.redis_layouts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import polars as pl

from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.redis_layouts import REDIS_LAYOUTS
from llmi2i_cli.errors import UsageError
from llmi2i_cli.i2i.neighbour_lists import item_blocks, neighbour_lists
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.publishing.made_ahead import made_ahead

NEIGHBOURS_AT_ONCE = 1 << 17
AT_WORK = 2  # threads that encode; one alone takes longer than Redis does for what it sends

ID, SCORE = pl.col("neighbour_id"), pl.col("score").cast(pl.String)  # the shortest text of that float32
ELEMENTS = pl.col("element").list


@dataclass(frozen=True)
class Encoding:
    """How items become commands.

    Attributes
    ----------
    element : what is made of a neighbour, of the columns neighbour_id and score
    encode : from items, the columns key and element (a list), to commands and how many they are
    """

    element: pl.Expr
    encode: Callable[[pl.DataFrame], tuple[bytes, int]]


def sorted_set() -> Encoding:
    """``ZADD key score id score id ...``, a command per item."""
    n_arguments = 2 + 2 * ELEMENTS.len()
    command = pl.format("*{}\r\n$4\r\nZADD\r\n{}{}", n_arguments, _argument(pl.col("key")), ELEMENTS.join(""))
    return Encoding(_argument(SCORE) + _argument(ID), lambda items: (_joined(items, command), len(items)))


def text_list() -> Encoding:
    """``MSET key id:score,id:score,... key ...``, one command for all the items."""
    arguments = _argument(pl.col("key")) + _argument(ELEMENTS.join(","))

    def encode(items: pl.DataFrame) -> tuple[bytes, int]:
        return b"*%d\r\n$4\r\nMSET\r\n" % (1 + 2 * len(items)) + _joined(items, arguments), 1

    return Encoding(pl.format("{}:{}", ID, SCORE), encode)


def commands(layout: str, prefix: str, neighbours: Neighbours, item_ids: pl.Series) -> Iterator[tuple[bytes, int]]:
    """Encoded commands, and how many they are; an item without neighbours gets no key.

    Parameters
    ----------
    layout : name of a row of `REDIS_LAYOUTS`
    prefix : of each key, before the item's id
    item_ids : String (n_items,), the catalogue in the order of the indices
    """
    encoding: Encoding = load(REDIS_LAYOUTS[layout].encode)()

    def encoded(first: int, block: Neighbours) -> tuple[bytes, int]:
        rows = neighbour_lists(first, block, item_ids, [encoding.element.alias("element")])
        items = rows.filter(ELEMENTS.len() > 0).with_columns(key=prefix + pl.col("item_id"))
        return encoding.encode(items) if len(items) else (b"", 0)

    calls = (partial(encoded, *block) for block in item_blocks(neighbours, NEIGHBOURS_AT_ONCE))
    yield from (batch for batch in made_ahead(calls, AT_WORK) if batch[1])


def check_ids(layout: str, item_ids: pl.Series) -> None:
    """UsageError for the first item id that holds what the layout separates ids with."""
    for separator in REDIS_LAYOUTS[layout].separators:
        wrong = item_ids.filter(item_ids.str.contains(separator, literal=True))
        if len(wrong):
            able = " or ".join(row.name for row in REDIS_LAYOUTS.values() if separator not in row.separators)
            raise UsageError(
                f"item {wrong[0]!r} holds {separator!r}, which --layout {layout} separates by: give {able}"
            )


def _argument(text: pl.Expr) -> pl.Expr:
    """A text as an argument in Redis's protocol (RESP)."""
    return pl.format("${}\r\n{}\r\n", text.str.len_bytes(), text)


def _joined(items: pl.DataFrame, text: pl.Expr) -> bytes:
    joined: str = items.select(text.str.join("")).item()
    return joined.encode()
