"""The tables between the stages: their columns, what these may hold, and checked ways to read them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import polars as pl

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.columns import Column, what_is_wrong
from llmi2i_cli.files.tables import Schema, collect_table, scan_table
from llmi2i_cli.runs.pipeline import producer_of, require

# A column means the same wherever it stands.
COLUMNS: Mapping[str, Column] = {
    "user_id": Column(pl.String),
    "item_id": Column(pl.String),
    "timestamp": Column(pl.Int64),
    "split": Column(pl.String, values=("train", "valid", "test")),
    "title": Column(pl.String, nullable=True),
    "text": Column(pl.String, nullable=True),
    "train_count": Column(pl.Int64, low=0),
    "is_long_tail": Column(pl.Boolean),
    "is_train_tail": Column(pl.Boolean),
    "profile": Column(pl.String, nullable=True),
    "rank": Column(pl.Int32, low=1),
    "logprob": Column(pl.Float32),
    "label": Column(pl.String, values=("Yes", "No")),
    "confidence": Column(pl.Float32, low=0, high=1),
    "keep": Column(pl.Boolean),
    "source": Column(pl.String, values=("real", "synthetic", "copied")),
    "weight": Column(pl.Float32, low=0),
    "origin_user_id": Column(pl.String),
    "neighbour_id": Column(pl.String),
    "score": Column(pl.Float32),
}


def _schema(*names: str) -> Schema:
    return {name: COLUMNS[name].dtype for name in names}


INTERACTIONS = _schema("user_id", "item_id", "timestamp", "split")
ITEMS = _schema("item_id", "title", "text", "train_count", "is_long_tail", "is_train_tail")
USERS = _schema("user_id", "train_count", "profile")
CANDIDATES = _schema("user_id", "item_id", "rank", "logprob")
SCORED = _schema(*CANDIDATES, "label", "confidence", "keep")
SCORED_REAL = _schema("user_id", "item_id", "timestamp", "label", "confidence", "keep")
FUSED = _schema("user_id", "item_id", "timestamp", "source", "weight", "origin_user_id")
NEIGHBOURS = _schema("item_id", "neighbour_id", "rank", "score")


class Table(NamedTuple):
    """A table's columns, and those of them that no two rows share."""

    schema: Schema
    key: tuple[str, ...] = ()


TABLES: Mapping[str, Table] = {
    "prepare/interactions.parquet": Table(INTERACTIONS),
    "prepare/items.parquet": Table(ITEMS, key=("item_id",)),
    "prepare/users.parquet": Table(USERS, key=("user_id",)),
    "synthesize/candidates.parquet": Table(CANDIDATES, key=("user_id", "item_id")),
    "filter/scored.parquet": Table(SCORED, key=("user_id", "item_id")),
    "filter/scored-real.parquet": Table(SCORED_REAL),
    "fuse/interactions.parquet": Table(FUSED),
    "i2i/*.parquet": Table(NEIGHBOURS, key=("item_id", "neighbour_id")),
}


def table_of(path: str) -> Table:
    """What is known of an artifact by its path in the work directory."""
    [table] = [table for pattern, table in TABLES.items() if fnmatchcase(path, pattern)]
    return table


def scan_artifact(workdir: Path, path: str) -> pl.LazyFrame:
    """A lazy artifact by its path in the work directory, e.g. ``"prepare/items.parquet"``, its columns checked.

    `collect_artifact` reads what is asked of it, and checks the values.
    """
    return scan_table(require(workdir, path), table_of(path).schema, _remedy(workdir, path))


def collect_artifact(frame: pl.LazyFrame, workdir: Path, path: str) -> pl.DataFrame:
    """Read what a lazy frame on an artifact asks for.

    ArtifactError if the file turns out to be damaged, or what is read of it holds a value that its column may not hold
    or a key twice.
    """
    remedy = _remedy(workdir, path)
    collected = collect_table(frame, workdir / path, remedy)
    if wrong := what_is_wrong(collected, COLUMNS, table_of(path).key):
        raise ArtifactError(f"{workdir / path}: {wrong}: {remedy}")
    return collected


def read_artifact(workdir: Path, path: str) -> pl.DataFrame:
    """A checked artifact by its path in the work directory; rows keep the file's order."""
    return collect_artifact(scan_artifact(workdir, path), workdir, path)


def read_column(workdir: Path, path: str, column: str) -> pl.Series:
    """One column alone: titles, texts and profiles are most of a large catalogue."""
    return collect_artifact(scan_artifact(workdir, path).select(column), workdir, path)[column]


def _remedy(workdir: Path, path: str) -> str:
    return f"run `{producer_of(path)} -w {workdir} --force`"
