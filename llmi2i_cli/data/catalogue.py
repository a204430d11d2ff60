"""What is known about items: titles and texts from files of any format with named columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from llmi2i_cli.data.columns import ITEM_NAMES, TITLE_NAMES, pick_column, require_column
from llmi2i_cli.data.formats import descriptions, open_catalogue
from llmi2i_cli.data.plain_text import describe, plain
from llmi2i_cli.data.values import ids
from llmi2i_cli.files.places import Place

SCHEMA = {"item_id": pl.String, "title": pl.String, "text": pl.String}


def read_catalogue(paths: Sequence[Place], item_column: str | None = None) -> pl.DataFrame:
    """Read catalogues: item_id, title, text (String, never null), sorted by item_id.

    Title is the column title, name or the like (empty without one). Text is the title and then all other columns in
    their order (or those that the format says describe an item), see `plain_text.describe`. An item that is listed
    more than once keeps its first line.

    Parameters
    ----------
    item_column : name of the column of item ids, where a file has it; else the first of the usual names

    Raises
    ------
    InputError : a file is unreadable or has no column of item ids, or an id is missing
    """
    parts = [frame for path in paths for frame in _frames(path, item_column)]
    return pl.concat([pl.DataFrame(schema=SCHEMA), *parts]).unique("item_id", keep="first").sort("item_id")


def _frames(path: Place, item_column: str | None) -> Iterator[pl.DataFrame]:
    table, form = open_catalogue(path, "--items")
    item = require_column(table, ITEM_NAMES, item_column if item_column in table.columns else None, "--item-column")
    title = pick_column([column for column in table.columns if column != item], TITLE_NAMES)
    others = form.item_fields or [column for column in table.columns if column not in (item, title)]
    for chunk in descriptions(table, item, [*others, *([title] if title else [])]):
        titles = [plain(value) for value in chunk[title]] if title else [""] * len(chunk)
        rows = chunk.select(others).iter_rows() if others else [()] * len(chunk)
        texts = [describe(first, row) for first, row in zip(titles, rows, strict=True)]
        columns = {"item_id": ids(table, chunk, item, "--item-column"), "title": titles, "text": texts}
        yield pl.DataFrame(columns, schema=SCHEMA)
