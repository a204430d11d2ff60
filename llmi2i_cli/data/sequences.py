"""Sequence files: one user per line, ``USER ITEM ITEM ...``, oldest first, separated by spaces or tabs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from llmi2i_cli.data.table_file import LINE
from llmi2i_cli.data.text import check_line_ends, read_blocks
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.places import Place


class SequenceFile:
    """A sequence file as a table of interactions in its order, without times.

    A user's further lines continue the earlier ones. Blank lines are skipped.
    """

    row_word = "line"

    def __init__(self, path: Place) -> None:
        self.path = path
        self.columns = ["user_id", "item_id"]

    def chunks(self, ids: Sequence[str], others: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """See `TableFile.chunks`; InputError for no text, or a line with a user and no item."""
        for block in read_blocks(self.path):
            check_line_ends(self.path, block)
            lines = pl.Series("fields", block.data.decode().removesuffix("\n").split("\n"))
            fields = lines.str.strip_chars("\r").str.extract_all("[^ \t]+")
            lengths = fields.list.len()
            alone = (lengths == 1).arg_max()
            if alone is not None and lengths[alone] == 1:
                user = fields[alone][0]
                raise InputError(f"{self.path}, line {block.first_line + alone}: user {user!r} has no item")
            number = pl.int_range(block.first_line, block.first_line + len(lines), eager=True)
            rows = pl.DataFrame({"user_id": fields.list.first(), "item_id": fields.list.slice(1), LINE: number})
            yield rows.filter(lengths > 0).explode("item_id", empty_as_null=False).select(*ids, *others, LINE)


def is_sequences(lines: Sequence[str]) -> bool:
    """Whether a file that begins with `lines` has several fields a line."""
    return len(next((line for line in lines if line.strip()), "").split()) > 1
