from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.packing import TokenSequence, attention_mask, pack, place_in_rows
from tests.llm.tiny import layout_of


def sequence(tokens, outputs=(), groups=None, positions=None, evidence=(), evidence_at=()):
    n = len(tokens)
    return TokenSequence(
        np.array(tokens, np.int64),
        np.arange(n) if positions is None else np.array(positions, np.int64),
        np.zeros(n, np.int32) if groups is None else np.array(groups, np.int32),
        np.array(outputs, np.int64),
        np.array(evidence, np.int64).reshape(len(evidence_at), -1 if len(evidence_at) else 0),
        np.array(evidence_at, np.int64),
    )


def test_rows_of_three_sequences():
    packed = pack([sequence([5, 6], [1]), sequence([7, 8, 9, 10], [0, 3]), sequence([11, 12], [0])], 99, 4)
    # Longest first, and what fits behind it: the second alone, then the first and the third.
    assert packed.input_ids.tolist() == [[7, 8, 9, 10], [5, 6, 11, 12]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3], [0, 1, 0, 1]]
    assert packed.segments.tolist() == [[2, 2, 2, 2], [1, 1, 3, 3]]
    assert packed.outputs.tolist() == [5, 0, 3, 6]  # in the order of the sequences, not of the rows
    assert packed.input_ids.flatten()[packed.outputs].tolist() == [6, 7, 10, 11]


def test_padding_and_groups():
    packed = pack([sequence([1, 2, 3], [2], groups=[0, 1, 2], positions=[0, 1, 1])], pad_token=99, min_row_length=5)
    assert packed.input_ids.tolist() == [[1, 2, 3, 99, 99]]
    assert packed.position_ids.tolist() == [[0, 1, 1, 0, 0]]
    assert packed.segments.tolist() == [[1, 1, 1, 0, 0]]
    assert packed.groups.tolist() == [[0, 1, 2, 0, 0]]


def test_evidence_finds_its_token_wherever_that_is_put():
    short = sequence([5, 6], [1], evidence=[[50, 51]], evidence_at=[1])
    long = sequence([7, 8, 9, 10], [3], evidence=[[52, 53], [54, 55]], evidence_at=[0, 3])
    packed = pack([short, long], 99, 4)
    assert packed.input_ids.tolist() == [[7, 8, 9, 10], [5, 6, 99, 99]]
    assert packed.evidence.tolist() == [[50, 51], [52, 53], [54, 55]]
    assert packed.input_ids.flatten()[packed.evidence_at].tolist() == [6, 7, 10]


def test_nothing_to_pack():
    packed = pack([], pad_token=0)
    assert packed.input_ids.shape == (0, 32)
    assert packed.outputs.tolist() == packed.evidence_at.tolist() == []


def test_the_mask_by_its_rule():
    packed = pack([sequence([1, 2, 3, 4, 5], groups=[0, 0, 1, 2, 2]), sequence([6, 7])], 0, 8)
    segments, groups = packed.segments[0].tolist(), packed.groups[0].tolist()
    assert segments == [1, 1, 1, 1, 1, 2, 2, 0]
    mask = attention_mask(packed.segments, packed.groups)
    assert mask.shape == (1, 1, 8, 8)
    for q in range(8):
        for k in range(8):
            expected = k <= q and segments[q] == segments[k] and (groups[k] == 0 or groups[k] == groups[q])
            assert mask[0, 0, q, k] == expected
    assert mask.any(-1).all()  # a row of the softmax without any entry would be NaN


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=40), st.integers(9, 30))
def test_first_fit_decreasing_against_its_definition(lengths, row_length):
    filled: list[int] = []
    expected = {}
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((r for r, used in enumerate(filled) if used + lengths[index] <= row_length), len(filled))
        if row == len(filled):
            filled.append(0)
        expected[index] = (row, filled[row])
        filled[row] += lengths[index]
    row_of, offset_of, n_rows = place_in_rows(lengths, row_length)
    for index, length in enumerate(lengths):
        if length:  # where nothing lies does not matter
            assert (row_of[index], offset_of[index]) == expected[index]
        assert offset_of[index] + length <= row_length
    assert n_rows <= len(filled) + 1


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.5,
    )
    return GeneratorModel(LlamaForCausalLM(config), layout_of(20, 40)).eval()


@pytest.mark.parametrize("min_row_length", [9, 10, 13, 32, 64])
def test_packed_padded_or_alone_the_states_are_the_same(model, min_row_length):
    rng = np.random.default_rng(1)
    sequences = []
    for length in rng.integers(1, 10, 25):
        outputs = np.sort(rng.choice(length, rng.integers(1, length + 1), replace=False))
        sequences.append(sequence(rng.integers(0, 60, length), outputs))
    with torch.no_grad():
        table = model.input_table()
        packed = model.states(table, **vars(pack(sequences, 3, min_row_length)))
        expected = []
        for s in sequences:
            plain = model.decoder(input_ids=torch.from_numpy(s.tokens)[None], use_cache=False).last_hidden_state[0]
            expected.append(plain[s.outputs])
    torch.testing.assert_close(packed, torch.cat(expected), rtol=1e-5, atol=1e-5)


def test_the_padding_token_does_not_matter(model):
    sequences = [sequence([1, 2, 3], [0, 2]), sequence([4], [0])]
    with torch.no_grad():
        states = [model.states(model.input_table(), **vars(pack(sequences, pad))) for pad in (0, 17)]
    assert torch.equal(*states)
