"""Text files, plain or compressed, as blocks of whole lines, so that memory does not grow with the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmi2i_cli.data.compression import pieces, starts_compressed
from llmi2i_cli.data.quoted_fields import QuotedFields
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.given import check_given
from llmi2i_cli.files.places import Place
from llmi2i_cli.files.table_folder import TableFolder

BLOCK_BYTES = 16 * 2**20
LONGEST_LINE_BYTES = 64 * 2**20  # more without an end of line is no text that we know
PARQUET_MAGIC = b"PAR1"
LONE_CARRIAGE_RETURN = "a carriage return alone ends a line: give all lines the ends of Unix or Windows"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Whole lines of UTF-8 text (without byte order mark) and the number, from 1, of the first of them."""

    data: bytes
    first_line: int

    @property
    def n_lines(self) -> int:
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))


def is_compressed(path: Place) -> bool:
    """Whether the file is compressed text or Parquet, so that the data in it is larger than the file."""
    if isinstance(path, TableFolder):
        return True
    with path.open("rb") as handle:
        start = handle.read(4)
    return start == PARQUET_MAGIC or starts_compressed(start)


def check_readable(path: Place) -> None:
    """Raise InputError when the file is missing, empty or cannot be opened."""
    check_given(path)
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{path} is empty")
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def read_blocks(path: Place, *, quoted_between: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read a text file block by block; blank files give nothing.

    Parameters
    ----------
    quoted_between : the separator of fields that may be in quotes, where a line break ends no line (CSV)
    block_bytes : bytes of text to read at a time

    Raises
    ------
    InputError : missing, empty, truncated (gzip, zstd), binary or not UTF-8; a line, or a quoted field, without an end
    """
    check_readable(path)
    breaks = QuotedFields(quoted_between) if quoted_between else None
    rest: list[bytes] = []  # pieces of a line whose end has not come
    rest_bytes, first_line = 0, 1
    for piece in _pieces(path, block_bytes):
        end = breaks.end_of_lines(piece) if breaks else piece.rfind(b"\n") + 1
        if end:
            block = Block(b"".join((*rest, piece[:end])), first_line)
            _check_text(path, block)
            yield block
            first_line += block.n_lines
            rest, rest_bytes, piece = [], 0, piece[end:]  # noqa: PLW2901
        rest.append(piece)
        rest_bytes += len(piece)
        if rest_bytes > LONGEST_LINE_BYTES:
            problem = "a quote is never closed, or the line is" if breaks else "the line is"
            raise InputError(f"{path}, line {first_line}: {problem} longer than {LONGEST_LINE_BYTES >> 20} MiB")
    if breaks and breaks.is_open:
        raise InputError(f"{path}, line {first_line}: from here on a quote is never closed")
    if rest_bytes:
        block = Block(b"".join(rest), first_line)
        _check_text(path, block)
        yield block


def check_line_ends(path: Place, block: Block) -> None:
    """InputError where carriage returns alone end lines, as long ago on the Macintosh: they would count as one line."""
    if (found := re.search(rb"\r(?!\n|\Z)", block.data)) is not None:
        line = block.first_line + block.data.count(b"\n", 0, found.start())
        raise InputError(f"{path}, line {line}: {LONE_CARRIAGE_RETURN}")


def first_lines(path: Place, n_bytes: int = 65536) -> list[str]:
    """The lines of the start of a text file, without their ends; for telling what it holds."""
    for block in read_blocks(path, block_bytes=n_bytes):
        return [line.removesuffix("\r") for line in block.data.decode().removesuffix("\n").split("\n")]
    return []


def _pieces(path: Place, n_bytes: int) -> Iterator[bytes]:
    for number, piece in enumerate(pieces(path, n_bytes)):
        yield piece.removeprefix(BYTE_ORDER_MARK) if number == 0 else piece


def _check_text(path: Place, block: Block) -> None:
    binary = block.data.find(b"\0")
    if binary >= 0:
        line = block.first_line + block.data.count(b"\n", 0, binary)
        raise InputError(f"{path}, line {line}: binary data, or text that is not UTF-8; see --format for what is read")
    try:
        block.data.decode()
    except UnicodeDecodeError as error:
        line = block.first_line + block.data.count(b"\n", 0, error.start)
        raise InputError(f"{path}, line {line}: not UTF-8 text; convert the file to UTF-8") from error
