"""The tables between the stages: their columns, and checked ways to read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from llmi2i_cli.files.tables import Schema, collect_table, read_table, scan_table
from llmi2i_cli.runs.pipeline import producer_of, require

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


def scan_artifact(workdir: Path, path: str, schema: Schema | None = None) -> pl.LazyFrame:
    """A checked lazy artifact by its path in the work directory, e.g. ``"prepare/items.parquet"``."""
    return scan_table(require(workdir, path), schema or SCHEMAS[path], _remedy(workdir, path))


def read_artifact(workdir: Path, path: str, schema: Schema | None = None) -> pl.DataFrame:
    """A checked artifact by its path in the work directory; rows keep the file's order."""
    return read_table(require(workdir, path), schema or SCHEMAS[path], _remedy(workdir, path))


def collect_artifact(frame: pl.LazyFrame, workdir: Path, path: str) -> pl.DataFrame:
    """Read what a lazy frame on an artifact asks for; ArtifactError if the file turns out to be damaged."""
    return collect_table(frame, workdir / path, _remedy(workdir, path))


def read_column(workdir: Path, path: str, column: str) -> pl.Series:
    """One column alone: titles, texts and profiles are most of a large catalogue."""
    return collect_artifact(scan_artifact(workdir, path).select(column), workdir, path)[column]


def _remedy(workdir: Path, path: str) -> str:
    return f"run `{producer_of(path)} -w {workdir} --force`"
