"""The table of evidence: every row's function is there, and the generator's own order is one of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.features import CandidateRows
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.evidence import FEATURES, LIKELIHOOD
from llmi2i_cli.choices.loading import load


@pytest.mark.parametrize("row", FEATURES.values(), ids=FEATURES)
def test_every_row_has_a_function_that_gives_a_column(row):
    log = Histories.from_rows([[0, 1, 2], [1, 2]], 3)
    rows = CandidateRows(
        log, np.array([0, 1]), np.array([0, 1]), np.array([2, 0], np.int32), np.zeros(2, np.float32), np.array([1, 2])
    )
    column = load(row.compute)(log, pl.Series(["red lamp", "lamp", "chair"]))(rows)
    assert column.shape == (2,)
    assert np.isfinite(column).all()
    assert row.about


def test_the_likelihood_is_the_generators():
    assert FEATURES[LIKELIHOOD].from_generator
