"""JSON Lines: one object per line; `amazon.py` is a dialect of it, some of whose lines are Python literals."""

from __future__ import annotations

import ast
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from llmi2i_cli.data.plain_text import plain
from llmi2i_cli.data.table_file import LINE
from llmi2i_cli.data.text import Block, first_lines, read_blocks
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.documents import object_of_pairs, parse_json
from llmi2i_cli.files.places import Place

_PERHAPS_NO_SCALAR = r"^[\[{]"
_PERHAPS_NO_ID = r"^(?:[\[{]|true$|false$)"


class JsonLinesFile:
    """A file of one object per line; its columns are the keys of the objects in its first 64 KiB.

    Parameters
    ----------
    python_literals : accept lines that are Python literals (``{'asin': 'B0', ...}``)

    Raises
    ------
    InputError : no text, or the first line holds no object
    """

    row_word = "line"

    def __init__(self, path: Place, *, python_literals: bool = False) -> None:
        self.path, self.python_literals = path, python_literals
        keys: dict[str, None] = {}
        for number, line in enumerate(first_lines(path), start=1):
            if line.strip():
                keys |= dict.fromkeys(self._parse_line(line, number))
        self.columns = list(keys)

    def chunks(self, ids: Sequence[str], others: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """See `TableFile.chunks`; numbers become their text, and so do true and false that are no ids.

        InputError for lists, objects and the like.
        """
        for block in read_blocks(self.path):
            frame = self._parse(block, ids, others)
            yield self._parse_slowly(block, ids, others) if frame is None else frame

    def descriptions(self, key: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the same for files about items or users: other columns than the `key` may nest, and are plain text."""
        for block in read_blocks(self.path):
            rows = [
                (number, self._id(found, key, number), *(plain(found.get(column)) for column in columns))
                for number, found in self._objects(block)
            ]
            schema = {LINE: pl.Int64(), key: pl.String(), **dict.fromkeys(columns, pl.String())}
            yield pl.DataFrame(rows, schema=schema, orient="row")

    def _parse(self, block: Block, ids: Sequence[str], others: Sequence[str]) -> pl.DataFrame | None:
        """Rows of a regular block; None when some line has to be looked at: a blank one, or one that may be wrong."""
        columns = [*ids, *others]
        if b"\\ud" in block.data or b"\\uD" in block.data:  # half a character, perhaps: Polars reads NUL
            return None
        try:
            frame = pl.read_ndjson(io.BytesIO(block.data), schema=dict.fromkeys(columns, pl.String))
        except pl.exceptions.PolarsError:
            return None
        if len(frame) != block.n_lines:
            return None
        if any(block.data.count(json.dumps(column).encode()) > len(frame) for column in columns):
            return None  # a line has a column twice, perhaps
        suspects = dict.fromkeys(ids, _PERHAPS_NO_ID) | dict.fromkeys(others, _PERHAPS_NO_SCALAR)
        if any(frame[column].str.contains(suspect).any() for column, suspect in suspects.items()):
            return None
        return frame.with_columns(pl.int_range(block.first_line, block.first_line + len(frame)).alias(LINE))

    def _parse_slowly(self, block: Block, ids: Sequence[str], others: Sequence[str]) -> pl.DataFrame:
        rows = [
            (
                *(self._id(found, column, number) for column in ids),
                *(self._scalar(found, column, number) for column in others),
                number,
            )
            for number, found in self._objects(block)
        ]
        schema = {**dict.fromkeys((*ids, *others), pl.String()), LINE: pl.Int64()}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _objects(self, block: Block) -> Iterator[tuple[int, dict[str, Any]]]:
        """The number and the object of each line that is not blank."""
        for number, line in enumerate(block.data.decode().split("\n"), start=block.first_line):
            if line.strip():
                yield number, self._parse_line(line, number)

    def _parse_line(self, line: str, number: int) -> dict[str, Any]:
        try:
            return parse_object(line, python_literals=self.python_literals)
        except ValueError as error:
            raise InputError(
                f"{self.path}, line {number}: not one JSON object per line ({error}): {line.strip()[:40]!r}"
            ) from error

    def _id(self, found: Mapping[str, Any], column: str, number: int) -> str | None:
        """The text of a value that is text, a number or not there."""
        if isinstance(found.get(column), bool):
            raise InputError(f"{self.path}, line {number}: {column!r} is true or false, where an id belongs")
        return self._scalar(found, column, number)

    def _scalar(self, found: Mapping[str, Any], column: str, number: int) -> str | None:
        """The text of a value that is text, a number, true, false or not there."""
        value = found.get(column)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                where = f"{self.path}, line {number}"
                raise InputError(f"{where}: {column!r} holds half a character: {value!r}") from None
            return value
        if isinstance(value, int):
            return json.dumps(value)
        if isinstance(value, float) and math.isfinite(value):
            return format(Decimal(repr(value)), "f").removesuffix(".0")
        raise InputError(
            f"{self.path}, line {number}: {column!r} is {str(value)[:40]!r}, where text or a number belongs"
        )


def is_json_lines(lines: Sequence[str]) -> bool:
    """Whether a file that begins with `lines` holds objects."""
    return next((line for line in lines if line.strip()), "").lstrip().startswith("{")


def parse_object(line: str, *, python_literals: bool) -> dict[str, Any]:
    """The object of a line, of JSON or, with `python_literals`, as Python writes it. ValueError if there is none."""
    try:
        found = parse_json(line)
    except ValueError:
        if not python_literals:
            raise
        found = _parse_literal(line)
    if not isinstance(found, dict):
        raise ValueError("another value")
    return found


def _parse_literal(line: str) -> Any:
    """A Python literal whose objects have texts as keys, none twice. ValueError if there is none."""
    try:
        tree = ast.parse(line.strip(), mode="eval").body
        found = ast.literal_eval(tree)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"nor a Python literal: {error}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            object_of_pairs([(getattr(key, "value", None), None) for key in node.keys])
    return found
