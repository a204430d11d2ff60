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

ROWS_AT_ONCE = 1 << 20  # of the log, whose ids are text


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
        raise _foreign(source, column, missing[column][0])
    return joined


def _foreign(source: str, column: str, value: str) -> ArtifactError:
    return ArtifactError(f"{source}: {column} {value!r} is not in prepare/: it belongs to another log")


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
    """The interactions of some splits, one row per user of ``prepare/users.parquet``, oldest first.

    Held-out interactions with items that are not in the catalogue (nothing but they name them) are left out: no model
    knows these items, and nothing can follow from them.
    """
    users, items, n_users, n_items, _ = _read_codes(workdir, splits)
    known = items < n_items
    return _of_codes(users[known], items[known], n_users, n_items)


def read_times(workdir: Path) -> NDArray[np.int64]:
    """The time of each train interaction, in the order of `read_histories`."""
    path = "prepare/interactions.parquet"
    times = scan_artifact(workdir, path).filter(split="train").select("timestamp")
    return collect_artifact(times, workdir, path)["timestamp"].to_numpy()


def read_targets(workdir: Path, split: str) -> Histories:
    """The interactions of a held-out split as `read_histories`, with indices behind the catalogue for unknown items.

    So what nobody can hit still counts as a target; `n_items` of these histories counts the unknown items, too.
    """
    users, items, n_users, n_items, n_unknown = _read_codes(workdir, (split,))
    return _of_codes(users, items, n_users, n_items + n_unknown)


def _of_codes(users: NDArray[np.int32], items: NDArray[np.int32], n_users: int, n_items: int) -> Histories:
    ptr = np.zeros(n_users + 1, np.int64)
    np.cumsum(np.bincount(users, minlength=n_users), out=ptr[1:])
    return Histories(ptr, items, n_items)


def _read_codes(workdir: Path, splits: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32], int, int, int]:
    """Users and items of some splits' rows, by user; how many users, items and unknown items there are.

    The rows are read some at a time: as text only one part of them is in memory, and the ids of users and items. An
    item that is not in the catalogue has an index behind it; in train that is an ArtifactError, as is an unknown user.
    """
    path = "prepare/interactions.parquet"
    log = scan_artifact(workdir, path)
    n_rows = int(collect_artifact(log.select(pl.len()), workdir, path).item())
    user_ids, item_ids = read_user_ids(workdir), read_item_ids(workdir)
    user_codes, item_codes, n_before = [], [], 0
    unknown: dict[str, int] = {}
    for start in range(0, n_rows, ROWS_AT_ONCE):
        rows = collect_artifact(log.slice(start, ROWS_AT_ONCE), workdir, path)
        codes, n_before = _user_codes(rows, user_ids, n_before, path)
        asked = rows["split"].is_in(list(splits))
        rows = rows.filter(asked)
        lookup = pl.DataFrame({"item_id": item_ids}).with_row_index("code")
        found = rows.join(lookup, on="item_id", how="left", maintain_order="left")
        foreign = found.filter(pl.col("code").is_null() & (pl.col("split") == "train"))
        if len(foreign):
            raise _foreign(path, "item_id", foreign["item_id"][0])
        user_codes.append(codes[asked.to_numpy()])
        items = found["code"].fill_null(0).to_numpy().astype(np.int32)
        outside = found["code"].is_null().to_numpy()
        names = found["item_id"].filter(found["code"].is_null())
        items[outside] = [len(item_ids) + unknown.setdefault(name, len(unknown)) for name in names]
        item_codes.append(items)
    nothing = [np.empty(0, np.int32)]
    users, items = np.concatenate(user_codes or nothing), np.concatenate(item_codes or nothing)
    if (np.diff(users) < 0).any():  # somebody has put the rows in another order
        order = np.argsort(users, kind="stable")
        users, items = users[order], items[order]
    return users, items, len(user_ids), len(item_ids), len(unknown)


def _user_codes(rows: pl.DataFrame, user_ids: pl.Series, n_before: int, path: str) -> tuple[NDArray[np.int32], int]:
    """The row of each user in `user_ids`; and the last one, at which the next rows begin.

    `prepare` groups the log by user, in the order of `user_ids`, so a run of rows is the next user; a log in any other
    order is looked up.
    """
    runs = rows["user_id"].rle().struct.unnest()
    first = n_before if n_before < len(user_ids) and user_ids[n_before] == runs["value"][0] else n_before + 1
    if runs["value"].equals(user_ids.slice(first, len(runs)).alias("value")):
        codes = np.repeat(np.arange(first, first + len(runs), dtype=np.int32), runs["len"].to_numpy())
        return codes, first + len(runs) - 1
    indexed = with_index(rows.select("user_id"), user_ids, "user_id", path)
    return indexed["user_id_index"].to_numpy().astype(np.int32), n_before


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
