"""A log on the disk as histories in memory.

The rows are read some at a time: as text only one part of them is in memory, beside the ids of users and items. Their
indices go into columns that are allocated once, so nothing is held twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.indices import foreign, with_index
from llmi2i_cli.artifacts.schemas import collect_artifact, scan_artifact

ROWS_AT_ONCE = 1 << 18


def read_log(
    workdir: Path, path: str, user_ids: pl.Series, item_ids: pl.Series, splits: Sequence[str] = ()
) -> Histories:
    """The rows of a log, one row of histories per user of `user_ids`, in the file's order.

    Weights come from a column weight, where the log has one. Held-out rows with items outside `item_ids` are left out.

    Parameters
    ----------
    user_ids, item_ids : String, what the indices stand for
    splits : the rows to read, of a log with a column split

    Raises
    ------
    ArtifactError : a user is not in `user_ids`, or the item of a row that is not held out not in `item_ids`
    """
    most = n_rows(workdir, path)
    users, items = np.empty(most, np.int32), np.empty(most, np.int32)  # what is not written to takes no memory
    weights = np.empty(most, np.float32) if "weight" in scan_artifact(workdir, path).collect_schema() else None
    n = 0
    for rows in _coded_parts(workdir, path, user_ids, item_ids, splits):
        part = slice(n, n + len(rows))
        users[part], items[part] = rows["user"].to_numpy(), rows["item"].to_numpy()
        if weights is not None:
            weights[part] = rows["weight"].to_numpy()
        n += len(rows)
    users, items, weights = users[:n], items[:n], None if weights is None else weights[:n]
    if (users[1:] < users[:-1]).any():  # somebody has put the rows in another order
        order = np.argsort(users, kind="stable")
        users, items, weights = users[order], items[order], None if weights is None else weights[order]
    ptr = np.searchsorted(users, np.arange(len(user_ids) + 1, dtype=np.int32))
    return Histories(ptr, items, len(item_ids), weights)


def _coded_parts(
    workdir: Path, path: str, user_ids: pl.Series, item_ids: pl.Series, splits: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """The rows that `read_log` reads, some at a time, with the columns user and item, the indices."""
    there = scan_artifact(workdir, path).collect_schema()
    columns = [name for name in ("user_id", "item_id", "split", "weight") if name in there]
    lookup = pl.DataFrame({"item_id": item_ids}).with_row_index("item")
    last_user = 0
    for rows in log_parts(workdir, path, columns):
        users = _user_codes(rows["user_id"], user_ids, last_user, path)
        last_user = int(users[-1])
        found = rows.with_columns(pl.Series("user", users))
        if splits:
            found = found.filter(pl.col("split").is_in(list(splits)))
        found = found.join(lookup, on="item_id", how="left", maintain_order="left")
        outside = found.filter(pl.col("item").is_null())
        refused = outside.filter(split="train") if splits else outside
        if len(refused):
            raise foreign(path, "item_id", refused["item_id"][0])
        yield found.filter(pl.col("item").is_not_null())


def log_parts(workdir: Path, path: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Some columns of an artifact, `ROWS_AT_ONCE` of its rows at a time."""
    log = scan_artifact(workdir, path).select(columns)
    for start in range(0, n_rows(workdir, path), ROWS_AT_ONCE):
        yield collect_artifact(log.slice(start, ROWS_AT_ONCE), workdir, path)


def n_rows(workdir: Path, path: str) -> int:
    """Rows of an artifact."""
    return int(collect_artifact(scan_artifact(workdir, path).select(pl.len()), workdir, path).item())


def _user_codes(names: pl.Series, user_ids: pl.Series, last_user: int, path: str) -> NDArray[np.int32]:
    """The row of each user in `user_ids`; `last_user` is that of the row before.

    Logs are grouped by user, in the order of `user_ids`, so a run of rows is the next user; in a log in any other order
    users are looked up.
    """
    runs = names.rle().struct.unnest()
    first = last_user if user_ids[last_user] == runs["value"][0] else last_user + 1
    if runs["value"].equals(user_ids.slice(first, len(runs)).alias("value")):
        return np.repeat(np.arange(first, first + len(runs), dtype=np.int32), runs["len"].to_numpy())
    indexed = with_index(names.to_frame(), user_ids, "user_id", path)
    return indexed["user_id_index"].to_numpy().astype(np.int32)
