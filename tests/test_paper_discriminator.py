"""The scripts that print the paper's comparisons."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from llmi2i_cli.artifacts.features import Features
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.evidence import FEATURES
from llmi2i_cli.llm.auc import within_user_auc
from llmi2i_cli.llm.calibration import fitting_half

FOLDER = Path(__file__).parents[1] / "examples" / "paper"


@pytest.fixture(scope="module")
def paper():
    """A function: a script of examples/paper as a module."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))


def judged_of(paper, users, items, valid=(), test=(), *, confidences=None, features=None, n_users=200):
    n = len(users)
    return paper("judged").Judged(
        train=Histories.from_rows([[0]] * n_users, 100),
        users=np.asarray(users, np.int64),
        items=np.asarray(items, np.int32),
        ranks=(np.arange(n) % 5 + 1).astype(np.int32),
        logprobs=-np.arange(n, dtype=np.float32),
        confidences=np.linspace(0, 1, n, dtype=np.float32) if confidences is None else confidences,
        features=Features(tuple(FEATURES), np.zeros((n, 5), np.float32) if features is None else features),
        observed={name: np.isin(np.arange(n), rows) for name, rows in (("valid", valid), ("test", test))},
    )


def test_candidates_that_are_compared(paper):
    judged = judged_of(paper, [0, 0, 0, 1, 1, 1, 2, 2], [1, 2, 3, 1, 2, 3, 1, 2], valid=[1], test=[0, 4])
    assert judged.listed("valid").tolist() == [True, True, True, False, False, False, False, False]
    # The first user's validation item is neither what comes next nor wrong.
    assert judged.listed("test").tolist() == [True, False, True, True, True, True, False, False]
    assert paper("judged").pointers(judged.users).tolist() == [0, 3, 6, 8]


def drawn_lists(seed=0, n_users=3000, weights=(1.0, -2.0)):
    """Lists of five candidates, the observed one drawn by the conditional logit."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_users, 5, 2))
    share = np.exp(features @ np.array(weights))
    share /= share.sum(axis=1, keepdims=True)
    chosen = (share.cumsum(axis=1) > rng.random((n_users, 1))).argmax(axis=1)
    labels = np.arange(5) == chosen[:, None]
    return features.reshape(-1, 2), labels.ravel(), np.arange(0, 5 * n_users + 1, 5)


def test_the_listwise_rival_finds_what_the_lists_were_drawn_with(paper):
    features, labels, ptr = drawn_lists()
    found = paper("rivals").listwise_logistic(features, labels, ptr)
    assert found.tolist() == pytest.approx([1, -2], abs=0.1)

    def loss(weights):
        scores = (features @ weights).reshape(-1, 5)
        return float((np.log(np.exp(scores).sum(1)) - scores.ravel()[labels]).mean())

    for step in ([0.05, 0], [-0.05, 0], [0, 0.05], [0, -0.05]):
        assert loss(found) < loss(found + np.array(step))


def test_the_pointwise_rival_has_the_least_balanced_loss(paper):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(20_000, 2))
    labels = rng.random(20_000) < 1 / (1 + np.exp(-features @ [1.0, -2.0]))
    kept = ~labels | (rng.random(20_000) < 0.1)  # however few are observed
    found = paper("rivals").logistic(features[kept], labels[kept], np.array([0]))
    assert found.tolist() == pytest.approx([1, -2], abs=0.15)


def test_nobodys_own_next_item_has_a_say(paper):
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(100), 5)
    features = rng.normal(size=(500, 5)).astype(np.float32)
    valid = np.arange(100) * 5 + rng.integers(0, 5, 100)
    half = fitting_half(users)
    other = np.where(half[valid], valid // 5 * 5 + (valid + 1) % 5, valid)  # those of one half bought something else
    rivals = paper("rivals")
    for way in ("logistic", "list-wise logistic"):
        before, after = (
            rivals.scores_by(judged_of(paper, users, users, rows, features=features))[way] for rows in (valid, other)
        )
        assert (before[half] == after[half]).all()
        assert (before[~half] != after[~half]).any()


def test_choosing_by_user_and_by_one_threshold(paper):
    judged = judged_of(paper, [0, 0, 0, 1, 1], [1, 2, 3, 1, 2])
    choose = paper("discriminator").choose
    scores = np.array([0.1, 0.9, 0.9, 0.2, 0.8])
    assert choose(judged, scores, 1, "a user").tolist() == [1, 4]  # of equal ones the better rank
    assert choose(judged, scores, 2, "a user").tolist() == [1, 2, 3, 4]
    assert choose(judged, scores, 1, "of all").tolist() == [1, 2]
    assert choose(judged, scores, 9, "of all").tolist() == [0, 1, 2, 3, 4]


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line]


def test_on_a_work_directory(paper, pipeline, capsys):
    discriminator = paper("discriminator")
    discriminator.RECALL_NUMBERS = (2,)
    discriminator.main([str(pipeline)])
    found = cells(capsys.readouterr().out)
    judged = paper("judged").read_judged(pipeline)
    rows = judged.listed("test")
    labels, ptr = judged.observed["test"][rows], paper("judged").pointers(judged.users[rows])
    (aucs,) = [row for row in found if row[:2] == [pipeline.name, "test"]]
    assert aucs[3] == f"{within_user_auc(judged.logprobs[rows], labels, ptr):.4f}"
    assert aucs[4] == f"{within_user_auc(judged.confidences[rows], labels, ptr):.4f}"
    arms = {row[1]: row for row in found if row[1] in discriminator.ARMS}
    assert list(arms) == list(discriminator.ARMS)
    assert all(row[3] == "75%" for row in arms.values())  # two of eight a user, of all in the mean
    assert len([row for row in found if row[1].startswith("2 ")]) == 6  # strategies and scopes

    paper("reliability").main([str(pipeline)])
    found = cells(capsys.readouterr().out)
    (whole,) = [row for row in found if row[1:3] == ["valid", "all"]]
    measured = ~fitting_half(judged.users)
    assert int(whole[3].replace(",", "")) == int((judged.listed("valid") & measured).sum())
    assert whole[7] == f"{judged.observed['valid'][measured].mean():.3%}"
