"""Parquet files: read with their columns checked, written whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.atomic import replacing
from llmi2i_cli.files.given import has_utf8_name

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

# Row groups of a fixed size: else a streamed file's bytes depend on the parts that it came in.
PARQUET_OPTIONS = {"compression": "zstd", "compression_level": 3, "statistics": True, "row_group_size": 1 << 18}


def scan_table(path: Path, schema: Schema, remedy: str, *, optional: Schema = MappingProxyType({})) -> pl.LazyFrame:
    """A lazy Parquet file whose columns have been checked; further columns than `schema` and `optional` are dropped.

    Raises
    ------
    ArtifactError : no readable Parquet file, or a column of `schema` is missing or of another type
    """
    try:
        frame = pl.scan_parquet(path, glob=False)
        found = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArtifactError(f"{path} is not a readable Parquet file (damaged or foreign): {remedy}") from error
    wanted = {**schema, **{name: dtype for name, dtype in optional.items() if name in found}}
    for column, dtype in wanted.items():
        if column not in found:
            raise ArtifactError(f"{path} has no column {column!r} (it has {', '.join(found)}): {remedy}")
        if found[column] != dtype:
            raise ArtifactError(f"{path}: column {column!r} is {found[column]}, not {dtype}: {remedy}")
    return frame.select(list(wanted))


def collect_table(frame: pl.LazyFrame, path: Path, remedy: str) -> pl.DataFrame:
    """Read what a lazy frame on `path` asks for; damage that the file's header did not show is an ArtifactError."""
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArtifactError(f"{path} is damaged: {remedy}") from error


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """`replacing`, for what Polars writes: its own errors (a full disk, a name of other bytes) become OSError."""
    if not has_utf8_name(path):
        raise OSError(errno.EILSEQ, "the name is not UTF-8", str(path))
    try:
        with replacing(path) as temporary:
            yield temporary
    except pl.exceptions.PolarsError as error:
        raise OSError(str(error)) from error


def write_table(frame: pl.DataFrame, path: Path, schema: Schema | None = None) -> None:
    """Write Parquet. With `schema`, columns are put in its order and types."""
    if schema is not None:
        frame = frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    with writing(path) as temporary:
        frame.write_parquet(temporary, **PARQUET_OPTIONS)  # type: ignore[arg-type]


def lazily(blocks: Callable[[], Iterator[pl.DataFrame]], schema: Mapping[str, Any]) -> pl.LazyFrame:
    """What `blocks` yields, one after the other, as a lazy frame for a sink: one block is in memory at a time."""

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        yield from blocks()

    return register_io_source(source, schema=dict(schema))


def sink_blocks(blocks: Callable[[], Iterator[pl.DataFrame]], path: Path, schema: Schema) -> None:
    """Write Parquet block by block; the bytes do not depend on how the rows are shared out in blocks."""
    with writing(path) as temporary:
        lazily(blocks, schema).sink_parquet(temporary, **PARQUET_OPTIONS)  # type: ignore[call-overload]


def sink_table(frame: pl.LazyFrame, path: Path) -> None:
    """`write_table` for what does not fit into memory: the rows are streamed, in their order."""
    with writing(path) as temporary:
        frame.sink_parquet(temporary, **PARQUET_OPTIONS)  # type: ignore[call-overload]
