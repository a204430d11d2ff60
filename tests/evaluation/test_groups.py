from __future__ import annotations

import numpy as np
import polars as pl

from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.evaluation.groups import GROUPS


def test_every_item_is_in_one_group_of_each_family():
    counts = np.array([0, 1, 2, 5, 6, 20, 21, 10_000])
    ids = pl.Series([str(count) for count in counts])
    is_long_tail = np.array([False, True] * 4)
    catalogue = Catalogue(ids, ids, ids, counts, is_long_tail, ~is_long_tail)
    found = {
        (group.family, group.name): ids.filter(group.members(catalogue)).to_list() for group in GROUPS if group.members
    }
    assert found == {
        (None, "long_tail"): ["1", "5", "20", "10000"],
        (None, "other"): ["0", "2", "6", "21"],
        ("by_train_count", "0"): ["0"],
        ("by_train_count", "1"): ["1"],
        ("by_train_count", "2-5"): ["2", "5"],
        ("by_train_count", "6-20"): ["6", "20"],
        ("by_train_count", "21+"): ["21", "10000"],
    }
    assert [group.name for group in GROUPS if group.members is None] == ["all"]
