"""The obvious twin of reading a log: dictionaries and lists."""

from __future__ import annotations

import numpy as np

from llmi2i_cli.artifacts.histories import Histories


def plain_histories(frame, user_ids, item_ids):
    """Rows (user_id, item_id and perhaps weight) as a row per user of `user_ids`, in the order of the rows."""
    item_index = {name: item for item, name in enumerate(item_ids)}
    rows: dict[str, list[int]] = {name: [] for name in user_ids}
    weights: dict[str, list[float]] = {name: [] for name in user_ids}
    for row in frame.iter_rows(named=True):
        rows[row["user_id"]].append(item_index[row["item_id"]])
        weights[row["user_id"]].append(row.get("weight"))
    found = Histories.from_rows(list(rows.values()), len(item_index))
    if "weight" not in frame.columns:
        return found
    flat = np.array([weight for of_user in weights.values() for weight in of_user], np.float32)
    return Histories(found.ptr, found.items, found.n_items, flat)
