"""Delimited text: CSV, TSV and the like; `recbole.py` is a dialect of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import polars as pl

from llmi2i_cli.data.columns import ITEM_NAMES, USER_NAMES, pick_column
from llmi2i_cli.data.table_file import LINE
from llmi2i_cli.data.text import LONE_CARRIAGE_RETURN, Block, first_lines, read_blocks
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.places import Place

SEPARATORS = (",", "\t", ";", "|")


class DelimitedFile:
    """A delimited text file whose first line names the columns.

    Parameters
    ----------
    recbole : tab-separated, never quoted, and ``:token`` and the like are taken off the column names

    Raises
    ------
    InputError : no text, no header, or a column name twice
    """

    row_word = "line"

    def __init__(self, path: Place, *, recbole: bool = False) -> None:
        self.path = path
        self.quoted = not recbole
        lines = first_lines(path)
        if not lines or not lines[0].strip():
            raise InputError(f"{path}, line 1: the first line must name the columns")
        self.separator = "\t" if recbole else max(SEPARATORS, key=lines[0].count)
        names = self._split(lines[0])
        self.columns = [name.rsplit(":", 1)[0] for name in names] if recbole else [name.strip() for name in names]
        twice = {name for name in self.columns if self.columns.count(name) > 1}
        if twice:
            raise InputError(f"{path}, line 1: two columns are named {min(twice)!r}")

    def chunks(self, ids: Sequence[str], others: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """See `TableFile.chunks`; a row with too few or too many fields raises InputError with its line."""
        for block in read_blocks(self.path, quoted_between=self.separator if self.quoted else None):
            if block.first_line == 1:
                header_end = block.data.find(b"\n") + 1
                if header_end == 0:
                    return
                block = Block(block.data[header_end:], 2)  # noqa: PLW2901
            if block.data:
                frame = self._parse(block)
                yield (self._parse_slowly(block) if frame is None else frame).select(*ids, *others, LINE)

    def _split(self, line: str) -> list[str]:
        if not self.quoted:
            return line.split(self.separator)
        try:
            return next(csv.reader([line], delimiter=self.separator))
        except csv.Error as error:
            raise self._wrong_line(1, error) from error

    def _wrong_line(self, line: int, error: csv.Error) -> InputError:
        if "new-line character" in str(error):
            return InputError(f"{self.path}, line {line}: {LONE_CARRIAGE_RETURN}")
        return InputError(f"{self.path}, line {line}: {error}")

    def _parse(self, block: Block) -> pl.DataFrame | None:
        """Rows of a regular block; None when a line is blank, ragged or goes on over a line break."""
        if block.data.count(b"\r") != block.data.count(b"\r\n"):
            return None
        try:
            frame = pl.read_csv(
                io.BytesIO(block.data),
                has_header=False,
                schema=dict.fromkeys(self.columns, pl.String),
                separator=self.separator,
                quote_char='"' if self.quoted else None,
                empty_string_is_null=False,
            )
        except pl.exceptions.PolarsError:
            return None
        if len(frame) != block.n_lines:
            return None
        if self.quoted and b'"' in block.data:
            short_rows = (frame[self.columns[-1]].fill_null("") == "").any()  # a row that is too short ends in ""
        else:
            short_rows = block.data.count(self.separator.encode()) != len(frame) * (len(self.columns) - 1)
        if short_rows:
            return None
        return frame.with_columns(pl.int_range(block.first_line, block.first_line + len(frame)).alias(LINE))

    def _parse_slowly(self, block: Block) -> pl.DataFrame:
        """The same rows, one at a time: exact line numbers, blank lines skipped, wrong rows named."""
        text = io.StringIO(block.data.decode(), newline="\n")
        reader = csv.reader(text, delimiter=self.separator, quotechar='"' if self.quoted else None)
        rows: list[list[str]] = []
        lines: list[int] = []
        start = block.first_line
        try:
            for row in reader:
                if row:
                    if len(row) != len(self.columns):
                        raise InputError(
                            f"{self.path}, line {start}: {len(row)} fields where the first line names "
                            f"{len(self.columns)} columns"
                        )
                    rows.append(row)
                    lines.append(start)
                start = block.first_line + reader.line_num
        except csv.Error as error:
            raise self._wrong_line(start, error) from error
        frame = pl.DataFrame(rows, schema=dict.fromkeys(self.columns, pl.String), orient="row")
        return frame.with_columns(pl.Series(LINE, lines, pl.Int64))


def is_delimited(lines: Sequence[str]) -> bool:
    """Whether a file that begins with `lines` has a header that names users and items in a usual way."""
    first = next((line for line in lines if line.strip()), "")
    for separator in SEPARATORS:
        names = [name.strip(' "') for name in first.split(separator)]
        if pick_column(names, USER_NAMES) and pick_column(names, ITEM_NAMES):
            return True
    return False
