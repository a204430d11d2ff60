from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.data.user_runs import UserRuns


@pytest.mark.parametrize("n_users", [0, 1, 7])
def test_runs_against_the_obvious(n_users):
    rng = np.random.default_rng(n_users)
    users = [f"u{user % 3}{user}" for user in range(n_users) for _ in range(rng.integers(1, 5))]
    rows = rng.random(len(users)) < 0.4
    runs = UserRuns.of(pl.DataFrame({"user_id": pl.Series(users, dtype=pl.String)}))
    of_user = [[place for place, other in enumerate(users) if other == user] for user in users]
    so_far = [sum(rows[place] for place in places if place <= row) for row, places in enumerate(of_user)]
    to_come = [sum(rows[place] for place in places if place >= row) for row, places in enumerate(of_user)]
    assert runs.so_far(rows).tolist() == so_far
    assert runs.still_to_come(rows).tolist() == to_come
