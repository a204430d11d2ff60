"""JSON Lines: one object per line; `amazon.py` is a dialect of it, some of whose lines are Python literals."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from llmi2i_cli.data.table_file import LINE
from llmi2i_cli.data.text import Block, first_lines, read_blocks
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.documents import parse_json
from llmi2i_cli.files.places import Place


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

    def chunks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """See `TableFile.chunks`; numbers become their text, lists and objects their JSON."""
        for block in read_blocks(self.path):
            frame = self._parse(block, columns)
            yield self._parse_slowly(block, columns) if frame is None else frame

    def objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each line's number and object, as Python values; for catalogues with nested fields."""
        for block in read_blocks(self.path):
            for number, line in enumerate(block.data.decode().split("\n"), start=block.first_line):
                if line.strip():
                    yield number, self._parse_line(line, number)

    def _parse(self, block: Block, columns: Sequence[str]) -> pl.DataFrame | None:
        """Rows of a regular block; None when a line is blank or no JSON."""
        try:
            frame = pl.read_ndjson(io.BytesIO(block.data), schema=dict.fromkeys(columns, pl.String))
        except pl.exceptions.PolarsError:
            return None
        if len(frame) != block.n_lines:
            return None
        return frame.with_columns(pl.int_range(block.first_line, block.first_line + len(frame)).alias(LINE))

    def _parse_slowly(self, block: Block, columns: Sequence[str]) -> pl.DataFrame:
        rows: list[list[str | None]] = []
        lines: list[int] = []
        for number, line in enumerate(block.data.decode().split("\n"), start=block.first_line):
            if line.strip():
                found = self._parse_line(line, number)
                rows.append([_as_text(found.get(column)) for column in columns])
                lines.append(number)
        frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
        return frame.with_columns(pl.Series(LINE, lines, pl.Int64))

    def _parse_line(self, line: str, number: int) -> dict[str, Any]:
        found = parse_object(line, python_literals=self.python_literals)
        if found is None:
            raise InputError(f"{self.path}, line {number}: not one JSON object per line: {line.strip()[:40]!r}")
        return found


def is_json_lines(lines: Sequence[str]) -> bool:
    """Whether a file that begins with `lines` holds objects."""
    return next((line for line in lines if line.strip()), "").lstrip().startswith("{")


def parse_object(line: str, *, python_literals: bool) -> dict[str, Any] | None:
    """The object of a line, of JSON or, with `python_literals`, as Python writes it; None when there is none."""
    try:
        found = parse_json(line)
    except ValueError:
        found = _parse_literal(line) if python_literals else None
    return found if isinstance(found, dict) else None


def _parse_literal(line: str) -> Any:
    try:
        return ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
