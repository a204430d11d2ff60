from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.llm import judge as module
from llmi2i_cli.llm.bases import answer_tokens, load_base
from llmi2i_cli.llm.item_model import DiscriminatorModel
from llmi2i_cli.llm.judge import Discriminator, answers, questions_about
from llmi2i_cli.llm.positions import HISTORY
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
    odds = answers(discriminator, questions_about(discriminator, users, contexts, ptr, candidates, tokens))
    assert odds.dtype == np.float32
    model, layout = discriminator.model, discriminator.model.layout
    table = model.input_table().detach()
    for p in range(11):
        for c in range(ptr[p], ptr[p + 1]):
            prompt = [1, *layout.item_tokens(contexts.row(p)[-HISTORY:]), layout.base_vocab + candidates[c]]
            embedded = table[torch.tensor(prompt)]
            for number in tokens[c]:  # all that is known of the candidate lies on the candidate's own place
                embedded[-1] += table[layout.evidence_token(int(number))]
            with torch.no_grad():
                state = model.decoder(inputs_embeds=embedded[None]).last_hidden_state[0, -1]
            both = torch.softmax(table[[model.yes_token, model.no_token]] @ state, 0)
            assert 1 / (1 + math.exp(-odds[c])) == pytest.approx(float(both[0]), abs=1e-5)
    assert odds.std() > 0.05


def test_nobody_to_judge(discriminator):
    nobody, nothing = np.zeros(0, np.int64), np.zeros(0, np.int32)
    odds = answers(
        discriminator,
        questions_about(
            discriminator, nobody, Histories.from_rows([], N_ITEMS), np.zeros(1, int), nothing, nothing[:, None]
        ),
    )
    assert odds.shape == (0,)
