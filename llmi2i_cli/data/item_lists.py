"""What a shop says of its items beside the log: lists of ids, and the values of a column of its catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.choices.formats import FORMATS
from llmi2i_cli.data.columns import ITEM_NAMES, require_column
from llmi2i_cli.data.formats import descriptions, open_catalogue, suffix_of
from llmi2i_cli.data.plain_text import plain
from llmi2i_cli.data.text import check_readable
from llmi2i_cli.data.values import ids
from llmi2i_cli.errors import InputError

UNKNOWN = -1


def read_item_list(path: Path, option: str) -> pl.Series:
    """The item ids of a file: of a table its column item_id or the like, of any other file a line each.

    InputError if it cannot be read, or is a table without such a column; `option` is the one that it was given with.
    """
    if any(suffix_of(path) in form.suffixes for form in FORMATS.values()):
        table, _ = open_catalogue(path, option)
        item = require_column(table, ITEM_NAMES, None, "a column item_id")
        parts = [ids(table, chunk, item, "a column item_id") for chunk in table.chunks([item])]
        return pl.concat([pl.Series("item_id", [], pl.String), *(part.alias("item_id") for part in parts)])
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # ids may hold what else Unicode breaks lines at
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
    return pl.Series("item_id", [line.strip() for line in lines if line.strip()], pl.String)


def read_item_values(
    paths: Sequence[Path], column: str, item_ids: pl.Series, option: str, item_column: str | None = None
) -> NDArray[np.int32]:
    """A column of catalogues as codes, int32 (n_items,): equal where the values are, -1 (`UNKNOWN`) without a value.

    Parameters
    ----------
    item_ids : String (n_items,), the catalogue in the order of the indices
    option : that names the column, for messages
    item_column : name of the column of item ids, where a file has it; else the first of the usual names

    Raises
    ------
    InputError : a catalogue cannot be read, none has the column, or none of its items with a value is in `item_ids`
    """
    found, columns = [pl.DataFrame(schema={"item_id": pl.String, "value": pl.String})], list[str]()
    for path in paths:
        check_readable(path)
        table, _ = open_catalogue(path, "--catalogue")
        columns += table.columns
        if column not in table.columns:
            continue
        item = require_column(table, ITEM_NAMES, item_column if item_column in table.columns else None, "item_id")
        for chunk in descriptions(table, item, [column]):
            values = [plain(value) for value in chunk[column]]
            found.append(pl.DataFrame({"item_id": ids(table, chunk, item, "a column item_id"), "value": values}))
    named = ", ".join(map(str, paths))
    if column not in columns:
        there = ", ".join(dict.fromkeys(columns))
        raise InputError(f"{named}: no column {column!r} (found: {there}): correct {option}")
    of_item = pl.concat(found).filter(pl.col("value") != "").unique("item_id", keep="first", maintain_order=True)
    codes = of_item.with_columns(code=pl.col("value").rank("dense").cast(pl.Int32))
    joined = pl.DataFrame({"item_id": item_ids}).join(codes, on="item_id", how="left", maintain_order="left")
    if joined["code"].null_count() == len(joined):
        raise InputError(f"{named}: column {column!r} has no value of any item of the index: correct {option}")
    return joined["code"].fill_null(UNKNOWN).to_numpy().astype(np.int32)
