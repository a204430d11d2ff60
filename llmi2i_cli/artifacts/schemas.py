"""The tables between the stages: their columns, what these may hold, and checked ways to read them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import polars as pl

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.columns import Column, what_is_wrong
from llmi2i_cli.files.tables import Schema, collect_table, scan_table
from llmi2i_cli.runs.blocks import QUESTIONS
from llmi2i_cli.runs.pipeline import producer_of, require

# A column means the same wherever it stands.
COLUMNS: Mapping[str, Column] = {
    "user_id": Column(pl.String, about="your own id of a user"),
    "item_id": Column(pl.String, about="your own id of an item"),
    "timestamp": Column(pl.Int64, about="time as in the log; dates in milliseconds since 1970 (UTC)"),
    "split": Column(pl.String, values=("train", "valid", "test"), about="what the interaction is used for"),
    "title": Column(pl.String, nullable=True, about="title of the item"),
    "text": Column(pl.String, nullable=True, about="title, brand, category and the like, as one text"),
    "train_count": Column(pl.Int64, low=0, about="number of interactions in the train split"),
    "is_long_tail": Column(pl.Boolean, about="rarely bought in the whole log (reporting only)"),
    "is_train_tail": Column(pl.Boolean, about="among the least bought in the train split (what the loss weights)"),
    "profile": Column(pl.String, nullable=True, about="what is known about the user, as one text"),
    "rank": Column(pl.Int32, low=1, about="place in the list, the best first"),
    "logprob": Column(pl.Float32, about="log-probability that the generator gives the item"),
    "label": Column(pl.String, values=("Yes", "No"), about="the discriminator's answer"),
    "confidence": Column(pl.Float32, low=0, high=1, about="the discriminator's calibrated probability of Yes"),
    "keep": Column(pl.Boolean, about="a Yes with at least `--min-confidence`"),
    "source": Column(pl.String, values=("real", "synthetic", "copied"), about="where the interaction comes from"),
    "weight": Column(pl.Float32, low=0, about="how much the interaction counts"),
    "origin_user_id": Column(pl.String, about="the user whose history this belongs to; differs in pseudo-users"),
    "neighbour_id": Column(pl.String, about="a similar item"),
    "score": Column(pl.Float32, about="how similar; a query adds up the scores of its recent items"),
    "question": Column(pl.UInt64, about="digest of all that the model was asked with about the user"),
}


def _schema(*names: str) -> Schema:
    return {name: COLUMNS[name].dtype for name in names}


INTERACTIONS = _schema("user_id", "item_id", "timestamp", "split")
WEIGHTED = _schema("weight")  # of the real interactions, where the log was prepared with weights; without it each is 1
ITEMS = _schema("item_id", "title", "text", "train_count", "is_long_tail", "is_train_tail")
USERS = _schema("user_id", "train_count", "profile")
CANDIDATES = _schema("user_id", "item_id", "rank", "logprob")
SCORED = _schema(*CANDIDATES, "label", "confidence", "keep")
SCORED_REAL = _schema("user_id", "item_id", "timestamp", "label", "confidence", "keep")
FUSED = _schema("user_id", "item_id", "timestamp", "source", "weight", "origin_user_id")
NEIGHBOURS = _schema("item_id", "neighbour_id", "rank", "score")


def interactions_schema(columns: Collection[str]) -> Schema:
    """Of prepared interactions with these columns, some of which may be none of the table's."""
    return {**INTERACTIONS, **{name: dtype for name, dtype in WEIGHTED.items() if name in columns}}


class Table(NamedTuple):
    """A table's columns, those of them that no two rows share, and further ones that it may have."""

    schema: Schema
    key: tuple[str, ...] = ()
    optional: Schema = {}  # noqa: RUF012 (never written to)


TABLES: Mapping[str, Table] = {
    "prepare/interactions.parquet": Table(INTERACTIONS, optional=WEIGHTED),
    "prepare/items.parquet": Table(ITEMS, key=("item_id",)),
    "prepare/users.parquet": Table(USERS, key=("user_id",)),
    "synthesize/candidates.parquet": Table(CANDIDATES, key=("user_id", "item_id")),
    "filter/scored.parquet": Table(SCORED, key=("user_id", "item_id")),
    "filter/scored-real.parquet": Table(SCORED_REAL),
    "synthesize/questions.parquet": Table(QUESTIONS, key=("user_id",)),
    "filter/questions.parquet": Table(QUESTIONS, key=("user_id",)),
    "fuse/interactions.parquet": Table(FUSED),
    "i2i/*.parquet": Table(NEIGHBOURS, key=("item_id", "neighbour_id")),
}


def table_of(path: str) -> Table:
    """What is known of an artifact by its path in the work directory."""
    [table] = [table for pattern, table in TABLES.items() if fnmatchcase(path, pattern)]
    return table


def scan_artifact(workdir: Path, path: str) -> pl.LazyFrame:
    """A lazy artifact by its path in the work directory, e.g. ``"prepare/items.parquet"``, its columns checked.

    It has the optional columns that the file has.

    `collect_artifact` reads what is asked of it, and checks the values.
    """
    table = table_of(path)
    return scan_table(require(workdir, path), table.schema, _remedy(workdir, path), optional=table.optional)


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


def rows_of_users(workdir: Path, path: str) -> pl.DataFrame:
    """Where each user's rows stand in an artifact: user_id, start and count (Int64), in the file's order.

    ArtifactError if some user's rows do not stand together.
    """
    runs = scan_artifact(workdir, path).select(pl.col("user_id").rle()).unnest("user_id")
    counts = pl.col("len").cast(pl.Int64)
    found = collect_table(runs, workdir / path, _remedy(workdir, path)).select(
        user_id="value", start=counts.cum_sum() - counts, count=counts
    )
    if not (again := found.filter(~pl.col("user_id").is_first_distinct())).is_empty():
        raise ArtifactError(
            f"{workdir / path}: the rows of user {again['user_id'][0]!r} do not stand together: sort it by user_id, or "
            f"{_remedy(workdir, path)}"
        )
    return found


def read_artifact(workdir: Path, path: str) -> pl.DataFrame:
    """A checked artifact by its path in the work directory; rows keep the file's order."""
    return collect_artifact(scan_artifact(workdir, path), workdir, path)


def read_column(workdir: Path, path: str, column: str) -> pl.Series:
    """One column alone: titles, texts and profiles are most of a large catalogue."""
    return collect_artifact(scan_artifact(workdir, path).select(column), workdir, path)[column]


def _remedy(workdir: Path, path: str) -> str:
    return f"run `{producer_of(path)} -w {workdir} --force`"
