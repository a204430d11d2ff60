"""Sequence files: one user a line, ``USER ITEM ITEM ...``, oldest first, separated by spaces or tabs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from llmi2i_cli.data.text import read_blocks
from llmi2i_cli.errors import InputError


def sequence_chunks(path: Path) -> Iterator[pl.DataFrame]:
    """Yield the interactions of a sequence file in its order: user_id and item_id, both String.

    There are no times; a user's further lines continue the earlier ones. Blank lines are skipped.

    Raises
    ------
    InputError : no text, or a line with a user and no item
    """
    for block in read_blocks(path):
        lines = pl.Series("fields", block.data.decode().removesuffix("\n").split("\n"))
        fields = lines.str.strip_chars("\r").str.extract_all("[^ \t]+")
        lengths = fields.list.len()
        alone = (lengths == 1).arg_max()
        if alone is not None and lengths[alone] == 1:
            user = fields[alone][0]
            raise InputError(f"{path}, line {block.first_line + alone}: user {user!r} has no item")
        rows = pl.DataFrame({"user_id": fields.list.first(), "item_id": fields.list.slice(1)})
        yield rows.filter(lengths > 0).explode("item_id", empty_as_null=False)
