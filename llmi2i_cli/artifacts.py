"""The tables between the stages: their columns, and checked ways to read and write them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.histories import Histories
from llmi2i_cli.pipeline import producer_of, require

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

INTERACTIONS: Schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "split": pl.String}
ITEMS: Schema = {
    "item_id": pl.String,
    "title": pl.String,
    "text": pl.String,
    "train_count": pl.Int64,
    "is_long_tail": pl.Boolean,
    "is_train_tail": pl.Boolean,
}
USERS: Schema = {"user_id": pl.String, "train_count": pl.Int64, "profile": pl.String}
CANDIDATES: Schema = {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int32, "logprob": pl.Float32}
SCORED: Schema = {**CANDIDATES, "label": pl.String, "confidence": pl.Float32, "keep": pl.Boolean}
SCORED_REAL: Schema = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": pl.Int64,
    "label": pl.String,
    "confidence": pl.Float32,
    "keep": pl.Boolean,
}
FUSED: Schema = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": pl.Int64,
    "source": pl.String,
    "weight": pl.Float32,
    "origin_user_id": pl.String,
}
NEIGHBOURS: Schema = {"item_id": pl.String, "neighbour_id": pl.String, "rank": pl.Int32, "score": pl.Float32}

SCHEMAS: Mapping[str, Schema] = {
    "prepare/interactions.parquet": INTERACTIONS,
    "prepare/items.parquet": ITEMS,
    "prepare/users.parquet": USERS,
    "synthesize/candidates.parquet": CANDIDATES,
    "filter/scored.parquet": SCORED,
    "filter/scored-real.parquet": SCORED_REAL,
    "fuse/interactions.parquet": FUSED,
}

PARQUET_OPTIONS = {"compression": "zstd", "compression_level": 3, "statistics": True}


def scan_table(path: Path, schema: Schema, remedy: str) -> pl.LazyFrame:
    """A lazy Parquet file whose columns have been checked; further columns are dropped.

    Raises
    ------
    ArtifactError : no readable Parquet file, or a column of `schema` is missing or of another type
    """
    try:
        frame = pl.scan_parquet(path, glob=False)
        found = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArtifactError(f"{path} is no readable Parquet file (damaged or foreign): {remedy}") from error
    for column, dtype in schema.items():
        if column not in found:
            raise ArtifactError(f"{path} has no column {column!r} (it has {', '.join(found)}): {remedy}")
        if found[column] != dtype:
            raise ArtifactError(f"{path}: column {column!r} is {found[column]}, not {dtype}: {remedy}")
    return frame.select(list(schema))


def read_table(path: Path, schema: Schema, remedy: str) -> pl.DataFrame:
    """`scan_table`, collected; rows keep the file's order."""
    return _collect(scan_table(path, schema, remedy), path, remedy)


def _collect(frame: pl.LazyFrame, path: Path, remedy: str) -> pl.DataFrame:
    """Read what a lazy frame on `path` asks for; damage that the file's header did not show is an ArtifactError."""
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArtifactError(f"{path} is damaged: {remedy}") from error


def scan_artifact(workdir: Path, path: str, schema: Schema | None = None) -> pl.LazyFrame:
    """A checked lazy artifact by its path in the work directory, e.g. ``"prepare/items.parquet"``."""
    return scan_table(require(workdir, path), schema or SCHEMAS[path], _remedy(workdir, path))


def read_artifact(workdir: Path, path: str, schema: Schema | None = None) -> pl.DataFrame:
    """A checked artifact by its path in the work directory; rows keep the file's order."""
    return read_table(require(workdir, path), schema or SCHEMAS[path], _remedy(workdir, path))


def collect_artifact(frame: pl.LazyFrame, workdir: Path, path: str) -> pl.DataFrame:
    """Read what a lazy frame on an artifact asks for; ArtifactError if the file turns out to be damaged."""
    return _collect(frame, workdir / path, _remedy(workdir, path))


def _read_column(workdir: Path, path: str, column: str) -> pl.Series:
    """One column alone: titles, texts and profiles are most of a large catalogue."""
    return collect_artifact(scan_artifact(workdir, path).select(column), workdir, path)[column]


def _remedy(workdir: Path, path: str) -> str:
    return f"run `{producer_of(path)} -w {workdir} --force`"


def write_table(frame: pl.DataFrame, path: Path, schema: Schema | None = None) -> None:
    """Write Parquet to a temporary name, then rename. With `schema`, columns are put in its order and types."""
    if schema is not None:
        frame = frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        frame.write_parquet(temporary, **PARQUET_OPTIONS)  # type: ignore[arg-type]
    except pl.exceptions.PolarsError as error:
        raise OSError(str(error)) from error
    temporary.replace(path)


def sink_table(frame: pl.LazyFrame, path: Path, *, row_group_size: int) -> None:
    """`write_table` for what does not fit into memory: the rows are streamed, in their order."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        frame.sink_parquet(temporary, row_group_size=row_group_size, **PARQUET_OPTIONS)  # type: ignore[call-overload]
    except pl.exceptions.PolarsError as error:
        raise OSError(str(error)) from error
    temporary.replace(path)


# --- the prepared log as arrays ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Catalogue:
    """The items in the order of ``prepare/items.parquet``: item index k is row k, and item token ``base_vocab + k``.

    Attributes
    ----------
    ids, titles, texts : String (n_items,)
    train_counts : int64 (n_items,)
    is_long_tail : bool (n_items,), few interactions in the whole log; for reporting alone
    is_train_tail : bool (n_items,), the least-bought share by train counts; what the loss weights see
    """

    ids: pl.Series
    titles: pl.Series
    texts: pl.Series
    train_counts: NDArray[np.int64]
    is_long_tail: NDArray[np.bool_]
    is_train_tail: NDArray[np.bool_]

    @property
    def n_items(self) -> int:
        return len(self.ids)


def read_catalogue(workdir: Path) -> Catalogue:
    """Read ``prepare/items.parquet``."""
    items = read_artifact(workdir, "prepare/items.parquet")
    return Catalogue(
        ids=items["item_id"],
        titles=items["title"],
        texts=items["text"],
        train_counts=items["train_count"].to_numpy(),
        is_long_tail=items["is_long_tail"].to_numpy(),
        is_train_tail=items["is_train_tail"].to_numpy(),
    )


def read_user_ids(workdir: Path) -> pl.Series:
    """User ids in the order of ``prepare/users.parquet``: user index u is row u."""
    return _read_column(workdir, "prepare/users.parquet", "user_id")


def read_item_ids(workdir: Path) -> pl.Series:
    """Item ids in the order of ``prepare/items.parquet``: item index k is row k."""
    return _read_column(workdir, "prepare/items.parquet", "item_id")


def read_profiles(workdir: Path) -> list[str]:
    """User profiles in user order, empty where a user has none."""
    return _read_column(workdir, "prepare/users.parquet", "profile").fill_null("").to_list()


def with_index(frame: pl.DataFrame, ids: pl.Series, column: str, source: str) -> pl.DataFrame:
    """Add ``<column>_index`` (UInt32): the row of each id in `ids`. ArtifactError names an id that is not there.

    `frame` keeps its row order; `source` names the file it came from.
    """
    lookup = pl.DataFrame({column: ids}).with_row_index(f"{column}_index")
    joined = frame.join(lookup, on=column, how="left", maintain_order="left")
    missing = joined.filter(pl.col(f"{column}_index").is_null())
    if len(missing):
        raise ArtifactError(f"{source}: {column} {missing[column][0]!r} is not in prepare/: it belongs to another log")
    return joined


def to_histories(frame: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series, source: str) -> Histories:
    """Rows (user_id, item_id and perhaps weight) as one row per user of `user_ids`; a user's rows keep their order.

    `source` names the file they came from, for the ArtifactError about an unknown id.
    """
    frame = with_index(with_index(frame, user_ids, "user_id", source), item_ids, "item_id", source)
    users = frame["user_id_index"].to_numpy()
    order = np.argsort(users, kind="stable")  # a no-op for prepare's files, which are grouped by user
    ptr = np.zeros(len(user_ids) + 1, np.int64)
    np.cumsum(np.bincount(users, minlength=len(user_ids)), out=ptr[1:])
    items = frame["item_id_index"].to_numpy()[order].astype(np.int32)
    weights = frame["weight"].to_numpy()[order].astype(np.float32) if "weight" in frame.columns else None
    return Histories(ptr, items, len(item_ids), weights)


def read_histories(workdir: Path, splits: Sequence[str] = ("train",)) -> Histories:
    """The interactions of some splits, one row per user of ``prepare/users.parquet``, oldest first."""
    path = "prepare/interactions.parquet"
    asked = scan_artifact(workdir, path).filter(pl.col("split").is_in(list(splits)))
    frame = collect_artifact(asked, workdir, path)
    item_ids = read_item_ids(workdir)
    return to_histories(frame, read_user_ids(workdir), item_ids, path)


def read_fused(workdir: Path) -> tuple[Histories, pl.Series]:
    """The fused log with its weights, one row per (pseudo-)user in the file's order, and the ids of those users."""
    path = "fuse/interactions.parquet"
    frame = read_artifact(workdir, path)
    user_ids = frame["user_id"].unique(maintain_order=True)
    item_ids = read_item_ids(workdir)
    return to_histories(frame, user_ids, item_ids, path), user_ids


def has_split(workdir: Path, split: str) -> bool:
    """Whether the prepared log holds interactions of `split`."""
    path = "prepare/interactions.parquet"
    rows = scan_artifact(workdir, path).filter(pl.col("split") == split).head(1)
    return not collect_artifact(rows, workdir, path).is_empty()
