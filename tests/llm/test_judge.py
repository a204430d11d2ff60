from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.llm import judge as module
from llmi2i_cli.llm.bases import answer_tokens, load_base
from llmi2i_cli.llm.item_model import DiscriminatorModel
from llmi2i_cli.llm.judge import Discriminator, DiscriminatorExamples, judge, user_aucs, within_user_auc
from llmi2i_cli.llm.positions import HISTORY, Positions
from llmi2i_cli.llm.prompts import BARE, build_pieces
from tests.llm.tiny import catalogue_of, random_histories, titles_of

N_ITEMS = 14


@pytest.fixture(scope="module")
def discriminator():
    base = load_base("llama-tiny", catalogue_of(titles_of(N_ITEMS)), attention="sdpa", seed=0, n_evidence=8)
    with torch.no_grad():
        base.llm.get_input_embeddings().weight.mul_(20)
    yes, no = answer_tokens(base.tokenizer)
    model = DiscriminatorModel(base.llm, base.layout, titles=base.title_words, yes_token=yes, no_token=no).eval()
    pieces = build_pieces(base.tokenizer, base.layout, BARE["discriminator"], profiles=None, titles=None)
    return Discriminator(model, pieces, 0, 64)


def cases(n_positions, seed=0):
    rng = np.random.default_rng(seed)
    contexts = random_histories(n_positions, N_ITEMS, seed, shortest=0, longest=13)
    ptr = np.concatenate([[0], np.cumsum(rng.integers(0, 5, n_positions))])
    candidates = rng.integers(0, N_ITEMS, ptr[-1]).astype(np.int32)
    tokens = rng.integers(0, 8, (ptr[-1], 2)).astype(np.int32)
    return rng.permutation(n_positions), contexts, ptr, candidates, tokens


def test_confidence_is_the_softmax_over_the_two_answers(discriminator, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_USERS", 4)  # blocks of users are cut and joined
    users, contexts, ptr, candidates, tokens = cases(11)
    odds = judge(discriminator, users, contexts, ptr, candidates, tokens)
    assert odds.dtype == np.float32
    model, layout = discriminator.model, discriminator.model.layout
    table = model.input_table().detach()
    for p in range(11):
        for c in range(ptr[p], ptr[p + 1]):
            prompt = [1, *layout.item_tokens(contexts.row(p)[-HISTORY:]), layout.base_vocab + candidates[c]]
            prompt += [layout.evidence_token(int(number)) for number in tokens[c]]
            with torch.no_grad():
                state = model.decoder(inputs_embeds=table[torch.tensor(prompt)][None]).last_hidden_state[0, -1]
            answers = torch.softmax(table[[model.yes_token, model.no_token]] @ state, 0)
            assert 1 / (1 + math.exp(-odds[c])) == pytest.approx(float(answers[0]), abs=1e-5)
    assert odds.std() > 0.05


def test_nobody_to_judge(discriminator):
    nobody, nothing = np.zeros(0, np.int64), np.zeros(0, np.int32)
    odds = judge(discriminator, nobody, Histories.from_rows([], N_ITEMS), np.zeros(1, int), nothing, nothing[:, None])
    assert odds.shape == (0,)


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
        np.zeros((len(labels), 1), np.float32),
    )


def test_yes_and_no_weigh_the_same_in_all(discriminator):
    positions = positions_of([1, 0, 0, 0, 1, 0, 0, 0, 0], [0, 4, 9])
    tokens = np.zeros((9, 1), np.int32)
    examples = DiscriminatorExamples(discriminator.pieces, positions, tokens, 64)
    assert len(examples) == 2
    assert examples.weights.tolist() == pytest.approx([9 / 4 if label else 9 / 14 for label in positions.labels])
    assert examples.weights.mean() == pytest.approx(1)
    sequence, labels, weights = examples.sequence(1)
    assert labels.tolist() == [1, 0, 0, 0, 0]
    assert weights.tolist() == examples.weights[4:].tolist()
    layout = discriminator.model.layout
    history = positions.contexts.row(1)[-HISTORY:]
    assert len(positions.contexts.row(1)) > HISTORY
    assert sequence.tokens[: 1 + len(history)].tolist() == [1, *layout.item_tokens(history)]
    assert sequence.tokens[1 + len(history) :: 2].tolist() == layout.item_tokens(positions.candidates[4:]).tolist()


@pytest.mark.parametrize("label", [1, 0])
def test_only_one_kind_of_answer_still_has_a_finite_weight(discriminator, label):
    examples = DiscriminatorExamples(
        discriminator.pieces, positions_of([label] * 3, [0, 3]), np.zeros((3, 1), np.int32), 64
    )
    assert np.isfinite(examples.weights).all()


def test_within_user_auc_against_all_pairs():
    rng = np.random.default_rng(0)
    ptr = np.concatenate([[0], np.cumsum(rng.integers(0, 7, 30))])
    scores = rng.integers(0, 4, ptr[-1]).astype(float)  # many ties
    labels = rng.random(ptr[-1]) < 0.4
    areas = []
    for start, end in pairwise(ptr):
        pairs = [
            (scores[y] > scores[n]) + (scores[y] == scores[n]) / 2
            for y in range(start, end)
            for n in range(start, end)
            if labels[y] and not labels[n]
        ]
        areas += [sum(pairs) / len(pairs)] if pairs else []
    assert 5 < len(areas) < 30
    each = user_aucs(scores, labels, ptr)
    assert each.shape == (30,)
    assert each[~np.isnan(each)].tolist() == pytest.approx(areas)
    assert within_user_auc(scores, labels, ptr) == pytest.approx(np.mean(areas))


def test_within_user_auc_by_hand():
    labels = np.array([True, False, False, True, True])
    assert within_user_auc(np.array([3.0, 1, 2, 0, 0]), labels, np.array([0, 3, 5])) == 1
    assert within_user_auc(np.array([1.0, 1, 2, 0, 0]), labels, np.array([0, 3, 5])) == 0.25
    assert math.isnan(within_user_auc(np.zeros(5), labels, np.array([0, 1, 3, 5])))
    assert math.isnan(within_user_auc(np.zeros(0), labels[:0], np.array([0])))
