"""The prepared log and the fused one as arrays: users and items by their place in ``prepare/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.holding_out import held_out_by
from llmi2i_cli.artifacts.log_reading import log_parts, n_rows, read_log
from llmi2i_cli.artifacts.schemas import collect_artifact, read_artifact, read_column, scan_artifact

LOG, FUSED_LOG = "prepare/interactions.parquet", "fuse/interactions.parquet"


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

    def descriptions(self) -> list[str]:
        """The text of each item, or its title where it has no text."""
        return [text or title for text, title in zip(self.texts, self.titles, strict=True)]


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


def read_histories(workdir: Path, splits: Sequence[str] = ("train",)) -> Histories:
    """The interactions of some splits, one row per user of ``prepare/users.parquet``, oldest first.

    Held-out interactions with items that are not in the catalogue (nothing but they name them) are left out: no model
    knows these items, and nothing can follow from them.
    """
    return read_log(workdir, LOG, read_user_ids(workdir), read_item_ids(workdir), splits)


def read_targets(workdir: Path, split: str) -> Histories:
    """The interactions of a held-out split as `read_histories`, with indices behind the catalogue for unknown items.

    So what nobody can hit still counts as a target; `n_items` of these histories counts the unknown items, too.
    """
    item_ids = read_item_ids(workdir)
    held_out = scan_artifact(workdir, LOG).filter(split=split).select(pl.col("item_id").unique(maintain_order=True))
    named = collect_artifact(held_out, workdir, LOG)["item_id"]
    unknown = named.filter(~named.is_in(item_ids.implode()))
    return read_log(workdir, LOG, read_user_ids(workdir), pl.concat([item_ids, unknown]), (split,))


def read_times(workdir: Path) -> NDArray[np.int64]:
    """The time of each train interaction, in the order of `read_histories`."""
    times, n = np.empty(n_rows(workdir, LOG), np.int64), 0
    for rows in log_parts(workdir, LOG, ("timestamp", "split")):
        of_train = rows.filter(split="train")["timestamp"].to_numpy()
        times[n : n + len(of_train)] = of_train
        n += len(of_train)
    return times[:n]


def read_fused(workdir: Path) -> tuple[Histories, pl.Series]:
    """The fused log with its weights, one row per (pseudo-)user in the file's order, and the ids of those users."""
    users = scan_artifact(workdir, FUSED_LOG).select(pl.col("user_id").unique(maintain_order=True))
    user_ids = collect_artifact(users, workdir, FUSED_LOG)["user_id"]
    return read_log(workdir, FUSED_LOG, user_ids, read_item_ids(workdir)), user_ids


@dataclass(frozen=True)
class PreparedLog:
    """What a language model learns from.

    Attributes
    ----------
    profiles : of each user, empty where there is none
    histories : the train interactions, one row per user
    held_out : the splits that are kept from it, of ``test`` and ``valid``
    held_out_by : the options of prepare that decide what is held out
    """

    catalogue: Catalogue
    profiles: list[str]
    histories: Histories
    held_out: Sequence[str] = ()
    held_out_by: Mapping[str, Any] = field(default_factory=dict)


def read_prepared(workdir: Path) -> PreparedLog:
    """Read what ``prepare/`` lets a language model learn from: train interactions alone."""
    held_out = [split for split in ("test", "valid") if has_split(workdir, split)]
    log = read_catalogue(workdir), read_profiles(workdir), read_histories(workdir)
    return PreparedLog(*log, held_out, held_out_by(workdir))


def has_split(workdir: Path, split: str) -> bool:
    """Whether the prepared log holds interactions of `split`."""
    rows = scan_artifact(workdir, LOG).filter(pl.col("split") == split).head(1)
    return not collect_artifact(rows, workdir, LOG).is_empty()
