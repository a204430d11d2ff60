"""Compressed text: gzip and Zstandard, told by how a file begins, whatever its name."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import IO, cast

from llmi2i_cli.errors import InputError
from llmi2i_cli.files.places import Place

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
COMPRESSED_SUFFIXES = (".gz", ".zst", ".zstd")
ZSTD_BYTES = 1024  # decompressed at once: as four bytes can stand for 128 KiB, that is 32 MiB of text at most


def starts_compressed(start: bytes) -> bool:
    """Whether a file with these first four bytes is gzip or Zstandard."""
    return start.startswith((GZIP_MAGIC, ZSTD_MAGIC))


def pieces(path: Place, n_bytes: int) -> Iterator[bytes]:
    """What a file holds, decompressed, some `n_bytes` at a time, in memory that does not grow with what it holds.

    Raises
    ------
    InputError : it is truncated or damaged, it is Zstandard and the package for that is missing, or it cannot be read
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(4)
        with path.open("rb") as handle:
            if start.startswith(ZSTD_MAGIC):
                yield from _zstd_pieces(path, handle, n_bytes)
            else:
                text = cast(IO[bytes], gzip.GzipFile(fileobj=handle)) if start.startswith(GZIP_MAGIC) else handle
                yield from iter(lambda: text.read(n_bytes), b"")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is truncated or damaged: gzip cannot decompress it; get it again") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _zstd_pieces(path: Place, handle: IO[bytes], n_bytes: int) -> Iterator[bytes]:
    """A file may be several frames, one behind the other, as parallel compressors write it."""
    try:
        import zstandard
    except ImportError as error:
        raise InputError(f"{path} is compressed with zstd: pip install 'llmi2i[zstd]', or decompress it") from error
    frame = zstandard.ZstdDecompressor().decompressobj()
    whole, text = True, io.BytesIO()
    try:
        while compressed := handle.read(n_bytes):
            for start in range(0, len(compressed), ZSTD_BYTES):
                data = compressed[start : start + ZSTD_BYTES]
                while data:
                    if frame.eof:
                        frame = zstandard.ZstdDecompressor().decompressobj()
                    text.write(frame.decompress(data))
                    data, whole = frame.unused_data, frame.eof
                if text.tell() >= n_bytes:
                    yield text.getvalue()
                    text = io.BytesIO()
    except zstandard.ZstdError:
        whole = False
    if not whole:
        raise InputError(f"{path} is truncated or damaged: zstd cannot decompress it; get it again")
    if text.tell():
        yield text.getvalue()
