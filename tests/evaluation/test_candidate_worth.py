"""What candidates are worth, against a Swing trained and evaluated step by step."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.blends import weights_of
from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.evaluation import candidate_worth
from llmi2i_cli.evaluation.candidate_worth import CandidateWorth
from llmi2i_cli.evaluation.served_model import DECAYS, RECENTS, ServedModel
from llmi2i_cli.evaluation.validation import HeldOut, recall_by_lookup
from llmi2i_cli.i2i.blend import blend_neighbours
from llmi2i_cli.i2i.bm25 import bm25_neighbours
from llmi2i_cli.i2i.swing import swing_neighbours
from llmi2i_cli.i2i.training import Job

N_ITEMS = 12
ROWS = [[0, 1, 2], [1, 2, 3, 4, 5, 6, 7], [], [0, 2, 3], [4, 5, 6], [5, 6, 7], [8, 9], [8, 9, 10], [0, 1, 3]]
NEXT = {0: 3, 1: 8, 4: 7, 5: 4, 7: 11, 8: 2}


@pytest.fixture
def held_out():
    users = np.array(list(NEXT))
    log = Histories.from_rows(ROWS, N_ITEMS)
    return HeldOut(users, log.take(users), Histories.from_rows([[item] for item in NEXT.values()], N_ITEMS))


def recall_of(rows, held_out, served):
    return served.recall(Histories.from_rows(rows, N_ITEMS), held_out)[1]


def test_the_model_has_the_options_that_do_best_on_the_real_log(held_out):
    log = Histories.from_rows(ROWS, N_ITEMS)
    worth = CandidateWorth("swing", log, held_out, ())
    points = MODELS["swing"].points({})
    recalls = [
        max(recall_by_lookup(swing_neighbours(log, **options), held_out, recents=RECENTS, decays=DECAYS).values())
        for options in points
    ]
    assert worth.real_recall == max(recalls)
    assert worth.served.options == points[recalls.index(max(recalls))]
    assert worth.served.described() == {"model": "swing", **worth.served.options}


def test_five_candidates_stand_behind_a_copy_of_the_latest_five(held_out, monkeypatch):
    worth = CandidateWorth("swing", Histories.from_rows(ROWS, N_ITEMS), held_out, ())
    ranked = np.array([[3, 4, 5, 6, 7, 10], [8, 0, 9, 10, 11, 2], [11, -1, -1, -1, -1, -1]], np.int32)
    pseudo = [[0, 1, 2, 3, 4, 5, 6, 7], [3, 4, 5, 6, 7, 8, 0, 9, 10, 11], [8, 9, 10, 11]]
    found = worth.recall(np.array([0, 1, 7]), ranked)
    assert found == recall_of([*ROWS, *pseudo], held_out, worth.served)
    assert found > worth.real_recall  # nobody ever bought 11
    monkeypatch.setattr(candidate_worth, "MAX_USERS", 7)  # of the nine, the six held out and one more
    sample = CandidateWorth("swing", Histories.from_rows(ROWS, N_ITEMS), held_out, ())
    (more,) = set(sample._rows.tolist()) - set(NEXT)
    rows = [ROWS[row] for row in sorted([*NEXT, more])]
    assert sample.recall(np.array([0, 1, 7]), ranked) == recall_of([*rows, *pseudo], held_out, sample.served)
    nothing = np.full((3, 10), -1, np.int32)
    assert worth.recall(np.array([0, 1, 7]), nothing) == worth.real_recall


def test_a_blend_keeps_its_text_and_trains_its_other_part_anew(held_out):
    log = Histories.from_rows(ROWS, N_ITEMS)
    texts = [f"shelf{item // 4} item{item}" for item in range(N_ITEMS)]
    served = ServedModel.tuned("blend", Job(log, texts=texts), held_out)
    bm25, text = served.parts
    assert (bm25.name, text.name) == ("bm25", "text")
    assert text.table is not None
    assert text.neighbours(log) is text.table
    more = Histories.from_rows([*ROWS, [0, 11], [0, 11]], N_ITEMS)
    tables = [bm25_neighbours(more, **bm25.options), text.table]
    expected = blend_neighbours(tables, weights_of(**served.options), top_k=200)
    assert np.array_equal(served.neighbours(more).ids, expected.ids)
    assert served.described()["bm25"] == {"model": "bm25", **bm25.options}
