from __future__ import annotations

import numpy as np
import pytest
import torch

from llmi2i_cli.llm.bases import load_base
from llmi2i_cli.llm.fixed_shapes import TOKENS_AT_ONCE, ask, row_length_of
from llmi2i_cli.llm.generate import Generator, pad_token_of, rank_block, states_after
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.packing import TokenSequence
from llmi2i_cli.llm.prompts import BARE, build_pieces
from tests.llm.tiny import catalogue_of, random_histories, titles_of

N_ITEMS = 700


def test_a_row_is_at_most_a_quarter_longer_than_long_sequences():
    assert [row_length_of(n) for n in (1, 8, 9, 16, 17, 64, 65, 72, 129, 1000)] == [
        8,
        8,
        16,
        16,
        24,
        64,
        80,
        80,
        160,
        1024,
    ]
    assert all(n <= row_length_of(n) <= 1.25 * n for n in range(64, 5000))


def test_batches_have_the_shape_of_their_row_length_alone():
    shapes = set()

    def answer(rows):
        shapes.add(tuple(rows.input_ids.shape))
        return rows.input_ids.flatten()[rows.outputs]

    lengths = [3, 20, 8, 9, 700, 5000, 2] * 60
    sequences = []
    for number, n in enumerate(lengths):
        tokens = np.full(n, number)
        sequences.append(TokenSequence(tokens, np.arange(n), np.zeros(n, np.int32), np.array([0, n - 1])))
    found = ask(sequences, 0, answer)
    assert found.tolist() == [number for number in range(len(lengths)) for _ in range(2)]
    assert {length: rows for rows, length in shapes} == {
        8: TOKENS_AT_ONCE // 8,
        16: TOKENS_AT_ONCE // 16,
        24: TOKENS_AT_ONCE // 24,
        768: TOKENS_AT_ONCE // 768,
        5120: 1,
    }


@pytest.fixture(scope="module")
def generator():
    base = load_base("llama-tiny", catalogue_of(titles_of(N_ITEMS)), attention="sdpa", seed=0)
    with torch.no_grad():
        for parameter in base.llm.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    pieces = build_pieces(base.tokenizer, base.layout, BARE["generator"], profiles=None, titles=None)
    return Generator(GeneratorModel(base.llm, base.layout).eval(), pieces, pad_token_of(base.tokenizer), 64)


def test_an_answer_has_the_same_bits_whoever_else_is_asked(generator):
    log = random_histories(400, N_ITEMS, 1, longest=14)
    whole = states_after(generator, [(user, log.row(user)) for user in range(400)])
    items, logprobs = rank_block(generator, range(400), log, log, history=10, top_n=30)
    rng = np.random.default_rng(0)
    for size in (1, 2, 65, 399):
        some = rng.permutation(400)[:size]
        assert torch.equal(states_after(generator, [(user, log.row(user)) for user in some.tolist()]), whole[some])
        items_of_some, logprobs_of_some = rank_block(generator, some.tolist(), log, log, history=10, top_n=30)
        np.testing.assert_array_equal(items_of_some, items[some])
        np.testing.assert_array_equal(logprobs_of_some, logprobs[some])
