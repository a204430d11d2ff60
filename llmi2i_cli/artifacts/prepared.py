"""The prepared log and the fused one as arrays: users and items by their place in ``prepare/``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.schemas import collect_artifact, read_artifact, read_column, scan_artifact
from llmi2i_cli.errors import ArtifactError


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
    return read_column(workdir, "prepare/users.parquet", "user_id")


def read_item_ids(workdir: Path) -> pl.Series:
    """Item ids in the order of ``prepare/items.parquet``: item index k is row k."""
    return read_column(workdir, "prepare/items.parquet", "item_id")


def read_profiles(workdir: Path) -> list[str]:
    """User profiles in user order, empty where a user has none."""
    return read_column(workdir, "prepare/users.parquet", "profile").fill_null("").to_list()


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


@dataclass(frozen=True)
class PreparedLog:
    """What a language model learns from.

    Attributes
    ----------
    profiles : of each user, empty where there is none
    histories : the train interactions, one row a user
    """

    catalogue: Catalogue
    profiles: list[str]
    histories: Histories


def read_prepared(workdir: Path) -> PreparedLog:
    """Read what ``prepare/`` lets a language model learn from: train interactions alone."""
    return PreparedLog(read_catalogue(workdir), read_profiles(workdir), read_histories(workdir))


def has_split(workdir: Path, split: str) -> bool:
    """Whether the prepared log holds interactions of `split`."""
    path = "prepare/interactions.parquet"
    rows = scan_artifact(workdir, path).filter(pl.col("split") == split).head(1)
    return not collect_artifact(rows, workdir, path).is_empty()
