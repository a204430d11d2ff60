"""A log too big for memory, cut into buckets by user: each holds whole users, so it can be worked on alone.

A user's bucket depends on the user's id and the number of buckets alone, so files of other columns about users
(profiles) can be cut the same way and joined bucket by bucket.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from llmi2i_cli.data.text import is_compressed
from llmi2i_cli.files.places import Place
from llmi2i_cli.files.tables import PARQUET_OPTIONS, write_table, writing

BUFFERED_ROWS = 4_000_000
BUCKET_BYTES = 512 * 2**20  # of plain text input; a bucket in memory takes three to five times as much
COMPRESSION_RATIO = 5  # how much larger than a compressed file its text is taken to be
_KNUTH = 2_654_435_761  # spreads the low bits of the CRC over the high ones


def n_buckets_for(files: Iterable[Place], bucket_bytes: int = BUCKET_BYTES) -> int:
    """How many buckets these input files are cut into, by their sizes."""
    text_bytes = sum(path.stat().st_size * (COMPRESSION_RATIO if is_compressed(path) else 1) for path in files)
    return max(1, -(-text_bytes // bucket_bytes))


def bucket_of(user_ids: pl.Series, n_buckets: int) -> pl.Series:
    """The bucket of each user, UInt32 (n,): by a hash that no version of any library changes."""
    distinct = user_ids.unique()
    numbers = [(zlib.crc32(user.encode()) * _KNUTH & 0xFFFFFFFF) * n_buckets >> 32 for user in distinct.to_list()]
    return user_ids.replace_strict(distinct, pl.Series(numbers, dtype=pl.UInt32), return_dtype=pl.UInt32)


def write_buckets(
    chunks: Iterable[pl.DataFrame], folder: Path, n_buckets: int, *, buffered_rows: int = BUFFERED_ROWS
) -> int:
    """Cut `chunks`, which have a column user_id, into the buckets of a new directory; returns the number of rows.

    The rows of a bucket keep their order. At most `buffered_rows` and one chunk are in memory.
    """
    folder.mkdir()
    waiting: list[pl.DataFrame] = []
    n_waiting = n_rows = n_flushes = 0

    def flush() -> None:
        nonlocal n_waiting, n_flushes
        rows = pl.concat(waiting)
        waiting.clear()
        for bucket, part in _split(rows, n_buckets):
            write_table(part, folder / f"{bucket:05d}-{n_flushes:06d}.parquet")
        n_waiting, n_flushes = 0, n_flushes + 1

    for chunk in chunks:
        waiting.append(chunk)
        n_waiting += len(chunk)
        n_rows += len(chunk)
        if n_waiting >= buffered_rows:
            flush()
    if waiting:
        flush()
    return n_rows


def read_bucket(folders: Iterable[Path], bucket: int) -> pl.DataFrame | None:
    """The rows of one bucket from several directories of `write_buckets`, one after the other; None without any."""
    files = [file for folder in folders for file in sorted(folder.glob(f"{bucket:05d}-*.parquet"))]
    return pl.concat([pl.read_parquet(file, glob=False) for file in files]) if files else None


def _split(rows: pl.DataFrame, n_buckets: int) -> Iterator[tuple[int, pl.DataFrame]]:
    if n_buckets == 1:
        yield 0, rows
        return
    keyed = rows.with_columns(bucket_of(rows["user_id"], n_buckets).alias("bucket"))
    for (bucket,), part in keyed.partition_by("bucket", as_dict=True, maintain_order=True, include_key=False).items():
        yield bucket, part


def concatenate(parts: Sequence[Path], target: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the rows of several Parquet files, in their order, as one; memory does not grow with them.

    Parameters
    ----------
    metadata : entries for the file's own metadata
    """
    with writing(target) as temporary:
        if len(parts) == 1 and metadata is None:
            shutil.copyfile(parts[0], temporary)  # the same bytes
            return
        rows = pl.concat([pl.scan_parquet(part, glob=False) for part in parts])
        rows.sink_parquet(temporary, metadata=metadata, **PARQUET_OPTIONS)  # type: ignore[call-overload]
