"""An index as Redis commands, thousands at a time: one command writes all that there is of an item.

A layout is a function that returns two expressions, and a row in `choices.redis_layouts`: what is made of a neighbour
(columns neighbour_id and score), and the command of an item (columns key and element, the list of the former).
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.redis_layouts import REDIS_LAYOUTS
from llmi2i_cli.errors import UsageError
from llmi2i_cli.i2i.neighbour_lists import neighbour_lists
from llmi2i_cli.i2i.neighbours import Neighbours

NEIGHBOURS_AT_ONCE = 1 << 17

ID, SCORE = pl.col("neighbour_id"), pl.col("score").cast(pl.String)  # the shortest text of that float32
ELEMENTS = pl.col("element").list


def sorted_set() -> tuple[pl.Expr, pl.Expr]:
    """``ZADD key score id score id ...``."""
    n_arguments = 2 + 2 * ELEMENTS.len()
    command = pl.format("*{}\r\n$4\r\nZADD\r\n{}{}", n_arguments, _argument(pl.col("key")), ELEMENTS.join(""))
    return _argument(SCORE) + _argument(ID), command


def text_list() -> tuple[pl.Expr, pl.Expr]:
    """``SET key id:score,id:score,...``."""
    command = pl.format("*3\r\n$3\r\nSET\r\n{}{}", _argument(pl.col("key")), _argument(ELEMENTS.join(",")))
    return pl.format("{}:{}", ID, SCORE), command


def commands(layout: str, prefix: str, neighbours: Neighbours, item_ids: pl.Series) -> Iterator[tuple[bytes, int]]:
    """Encoded commands, and how many they are; an item without neighbours gets no key.

    Parameters
    ----------
    layout : name of a row of `REDIS_LAYOUTS`
    prefix : of each key, before the item's id
    item_ids : String (n_items,), the catalogue in the order of the indices
    """
    element, command = load(REDIS_LAYOUTS[layout].encode)()
    for block in neighbour_lists(neighbours, item_ids, [element.alias("element")], NEIGHBOURS_AT_ONCE):
        filled = block.filter(ELEMENTS.len() > 0).with_columns(key=prefix + pl.col("item_id"))
        if len(filled):
            yield filled.select(command.str.join("")).item().encode(), len(filled)


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
