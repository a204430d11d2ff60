from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llmi2i_cli.artifacts.features import Features
from llmi2i_cli.llm import discriminator_training as module
from llmi2i_cli.llm.bases import load_base
from llmi2i_cli.llm.discriminator_training import DiscriminatorExamples, order_figures
from llmi2i_cli.llm.positions import HISTORY, Positions
from llmi2i_cli.llm.prompts import BARE, build_pieces
from tests.llm.tiny import catalogue_of, random_histories, titles_of

N_ITEMS = 14


@pytest.fixture(scope="module")
def pieces():
    base = load_base("llama-tiny", catalogue_of(titles_of(N_ITEMS)), attention="sdpa", seed=0, n_evidence=8)
    return build_pieces(base.tokenizer, base.layout, BARE["discriminator"], profiles=None, titles=None)


def positions_of(labels, ptr):
    n = len(ptr) - 1
    contexts = random_histories(n, N_ITEMS, seed=0, longest=20)
    candidates = np.arange(len(labels), dtype=np.int32) % N_ITEMS
    return Positions(
        np.arange(n),
        contexts,
        np.array(ptr),
        candidates,
        np.array(labels, bool),
        Features(("a",), np.zeros((len(labels), 1), np.float32)),
    )


def test_yes_and_no_weigh_the_same_in_all(pieces):
    positions = positions_of([1, 0, 0, 0, 1, 0, 0, 0, 0], [0, 4, 9])
    tokens = np.zeros((9, 1), np.int32)
    examples = DiscriminatorExamples(pieces, positions, tokens, 64)
    assert len(examples) == 2
    assert examples.weights.tolist() == pytest.approx([9 / 4 if label else 9 / 14 for label in positions.labels])
    assert examples.weights.mean() == pytest.approx(1)
    sequence, labels, weights = examples.sequence(1)
    assert labels.tolist() == [1, 0, 0, 0, 0]
    assert weights.tolist() == examples.weights[4:].tolist()
    layout = pieces.layout
    history = positions.contexts.row(1)[-HISTORY:]
    assert len(positions.contexts.row(1)) > HISTORY
    assert sequence.tokens[: 1 + len(history)].tolist() == [1, *layout.item_tokens(history)]
    assert sequence.tokens[1 + len(history) :].tolist() == layout.item_tokens(positions.candidates[4:]).tolist()


@pytest.mark.parametrize("label", [1, 0])
def test_only_one_kind_of_answer_still_has_a_finite_weight(pieces, label):
    examples = DiscriminatorExamples(pieces, positions_of([label] * 3, [0, 3]), np.zeros((3, 1), np.int32), 64)
    assert np.isfinite(examples.weights).all()


def test_the_likelihood_is_read_by_its_name_wherever_it_stands(monkeypatch):
    positions = positions_of([1, 0, 0, 1], [0, 2, 4])
    monkeypatch.setattr(module, "judge_positions", lambda *_: np.array([1.0, 0, 1, 0], np.float32))
    values = np.array([[0, 2], [0, 1], [0, 5], [0, 5]], np.float32)
    for names in (("other", "logprob"), ("logprob", "other")):
        ordered = values if names[1] == "logprob" else values[:, ::-1]
        described = replace(positions, features=Features(names, ordered))
        assert order_figures(None, described, None) == {  # type: ignore[arg-type]
            "valid_auc": 0.5,
            "valid_auc_of_likelihood": 0.75,
            "valid_users": 2,
        }
