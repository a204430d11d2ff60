"""What candidates are worth, against a Swing trained and evaluated step by step."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.evaluation import fused_swing
from llmi2i_cli.evaluation.fused_swing import FusedSwing
from llmi2i_cli.evaluation.validation import HeldOut, recall_by_recent
from llmi2i_cli.i2i.swing import swing_neighbours

N_ITEMS = 12
ROWS = [[0, 1, 2], [1, 2, 3, 4, 5, 6, 7], [], [0, 2, 3], [4, 5, 6], [5, 6, 7], [8, 9], [8, 9, 10], [0, 1, 3]]
NEXT = {0: 3, 1: 8, 4: 7, 5: 4, 7: 11, 8: 2}


@pytest.fixture
def held_out():
    users = np.array(list(NEXT))
    log = Histories.from_rows(ROWS, N_ITEMS)
    return HeldOut(users, log.take(users), Histories.from_rows([[item] for item in NEXT.values()], N_ITEMS))


def recall_of(rows, held_out, options):
    neighbours = swing_neighbours(Histories.from_rows(rows, N_ITEMS), **options)
    return max(recall_by_recent(neighbours, held_out).values())


def test_the_real_swing_is_the_best_of_its_grid(held_out):
    swing = FusedSwing(Histories.from_rows(ROWS, N_ITEMS), held_out)
    recalls = [recall_of(ROWS, held_out, options) for options in MODELS["swing"].points({})]
    assert swing.real_recall == max(recalls)
    assert swing.options == MODELS["swing"].points({})[recalls.index(max(recalls))]


def test_five_candidates_stand_behind_a_copy_of_the_latest_five(held_out, monkeypatch):
    swing = FusedSwing(Histories.from_rows(ROWS, N_ITEMS), held_out)
    ranked = np.array([[3, 4, 5, 6, 7, 10], [8, 0, 9, 10, 11, 2], [11, -1, -1, -1, -1, -1]], np.int32)
    pseudo = [[0, 1, 2, 3, 4, 5, 6, 7], [3, 4, 5, 6, 7, 8, 0, 9, 10, 11], [8, 9, 10, 11]]
    found = swing.recall(np.array([0, 1, 7]), ranked)
    assert found == recall_of([*ROWS, *pseudo], held_out, swing.options)
    assert found > swing.real_recall  # nobody ever bought 11
    monkeypatch.setattr(fused_swing, "MAX_USERS", 7)  # of the nine, the six held out and one more
    sample = FusedSwing(Histories.from_rows(ROWS, N_ITEMS), held_out)
    (more,) = set(sample._rows.tolist()) - set(NEXT)
    rows = [ROWS[row] for row in sorted([*NEXT, more])]
    assert sample.recall(np.array([0, 1, 7]), ranked) == recall_of([*rows, *pseudo], held_out, sample.options)
    nothing = np.full((3, 10), -1, np.int32)
    assert swing.recall(np.array([0, 1, 7]), nothing) == swing.real_recall
