from __future__ import annotations

import numpy as np
import pytest
import torch

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.llm import generate
from llmi2i_cli.llm.bases import load_base
from llmi2i_cli.llm.generate import Generator, pad_token_of, rank_block, rank_users
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.prompts import BARE, build_pieces, read_template
from tests.llm.tiny import bpe_tokenizer, catalogue_of, random_histories, save_pretrained_base, titles_of

N_ITEMS, N_USERS = 20, 30
PROFILES = ["red oak" if user % 3 else "" for user in range(N_USERS)]


def generator_of(spec, *, max_length=200):
    base = load_base(str(spec), catalogue_of(titles_of(N_ITEMS)), attention="sdpa", seed=3)
    if base.from_scratch:
        with torch.no_grad():  # fresh weights hardly tell one history from another
            base.llm.get_input_embeddings().weight.mul_(20)
    model = GeneratorModel(base.llm, base.layout, titles=base.title_words).eval()
    template = BARE["generator"] if base.from_scratch else read_template(None, "generator")
    titles = None if base.from_scratch else base.titles
    pieces = build_pieces(base.tokenizer, base.layout, template, profiles=PROFILES, titles=titles)
    return Generator(model, pieces, pad_token_of(base.tokenizer), max_length)


@pytest.fixture(scope="module", params=["preset", "llama", "gpt2"])
def generator(request, tmp_path_factory):
    if request.param == "preset":
        return generator_of("llama-tiny")
    return generator_of(save_pretrained_base(tmp_path_factory.mktemp("base"), request.param))


@pytest.fixture(scope="module")
def histories():
    return random_histories(N_USERS, N_ITEMS, seed=1, shortest=1, longest=14)


def brute_force(generator, user, history, seen):
    """The twin: one prompt through the decoder, a softmax over all unseen items, sorted."""
    pieces, model = generator.pieces, generator.model
    tokens = np.concatenate([pieces.prefix(user), pieces.item_part(history)])
    with torch.no_grad():
        table = model.input_table()
        state = model.decoder(inputs_embeds=table[torch.from_numpy(tokens)][None]).last_hidden_state[0, -1]
        logits = model.output_rows(table) @ state
    unseen = [item for item in range(N_ITEMS) if item not in seen]
    logprobs = torch.log_softmax(logits[unseen], 0).tolist()
    return sorted(zip(logprobs, unseen, strict=True), reverse=True)


@pytest.mark.parametrize("history, users_at_once", [(1, 64), (5, 64), (10, 64), (10, 15), (10, 4), (10, 1)])
def test_a_block_equals_one_prompt_a_user(generator, histories, history, users_at_once, monkeypatch):
    monkeypatch.setattr(generate, "CHUNK_LOGITS", 0)
    monkeypatch.setattr(generate, "FEWEST_USERS", users_at_once)
    users = list(range(0, N_USERS, 2))
    items, logprobs = rank_block(generator, users, histories, histories, history=history, top_n=7)
    assert (items.dtype, logprobs.dtype, items.shape) == (np.int32, np.float32, (15, 7))
    for row, user in enumerate(users):
        seen = set(histories.row(user).tolist())
        expected = brute_force(generator, user, histories.row(user)[-history:], seen)[:7]
        assert items[row].tolist() == [item for _, item in expected]
        np.testing.assert_allclose(logprobs[row], [logprob for logprob, _ in expected], atol=1e-4)
        assert not set(items[row].tolist()) & seen
    assert len({tuple(row) for row in items.tolist()}) > 5


def test_without_a_mask_the_seen_may_come_again(generator, histories):
    items, logprobs = rank_block(generator, [4], histories, None, history=10, top_n=N_ITEMS)
    assert sorted(items[0].tolist()) == list(range(N_ITEMS))
    expected = brute_force(generator, 4, histories.row(4)[-10:], set())
    assert items[0].tolist() == [item for _, item in expected]
    assert np.exp(logprobs).sum() == pytest.approx(1, rel=1e-5)


def test_where_less_is_unseen_than_asked_the_rest_is_padding(generator):
    everything = list(range(N_ITEMS))
    log = Histories.from_rows([everything[:-2], everything, everything * 2, [3]], N_ITEMS)
    items, logprobs = rank_block(generator, [0, 1, 2, 3], log, log, history=10, top_n=N_ITEMS + 5)
    assert sorted(items[0][:2].tolist()) == everything[-2:]
    assert np.exp(logprobs[0][:2]).sum() == pytest.approx(1, rel=1e-5)
    assert (items[0][2:] == -1).all()
    assert np.isneginf(logprobs[0][2:]).all()
    assert (items[1:3] == -1).all()
    assert np.isneginf(logprobs[1:3]).all()
    assert sorted(items[3].tolist()) == [-1] * 6 + [item for item in everything if item != 3]


def test_who_shares_the_block_does_not_matter_but_for_rounding(generator, histories):
    users = list(range(N_USERS))
    items, logprobs = rank_block(generator, users, histories, histories, history=10, top_n=5)
    for part in ([7], [29, 3, 7], users[::-1]):
        again, again_logprobs = rank_block(generator, part, histories, histories, history=10, top_n=5)
        assert (again == items[part]).all()
        np.testing.assert_allclose(again_logprobs, logprobs[part], atol=1e-4)
    again, again_logprobs = rank_block(generator, users, histories, histories, history=10, top_n=5)
    assert (again == items).all()
    assert (again_logprobs == logprobs).all()


def test_users_go_through_in_blocks(generator, histories, monkeypatch):
    monkeypatch.setattr(generate, "BLOCK_USERS", 4)
    users = np.array([5, 1, 9, 20, 21, 2, 3, 4, 0])
    blocks = list(rank_users(generator, users, histories, histories, history=10, top_n=3))
    assert [len(items) for items, _ in blocks] == [4, 4, 1]
    expected, _ = rank_block(generator, users.tolist(), histories, histories, history=10, top_n=3)
    assert (np.concatenate([items for items, _ in blocks]) == expected).all()
    assert list(rank_users(generator, users[:0], histories, histories, history=10, top_n=3)) == []


def test_a_long_history_is_cut_to_the_latest_that_fits(histories):
    short = generator_of("llama-tiny", max_length=6)  # <s>, a profile of two words or none, and the rest for items
    items, _ = rank_block(short, list(range(N_USERS)), histories, histories, history=10, top_n=6)
    for user in range(N_USERS):
        room = 6 - len(short.pieces.prefix(user))
        assert room == (3 if PROFILES[user] else 5)
        expected = brute_force(short, user, histories.row(user)[-room:], set(histories.row(user).tolist()))
        assert items[user].tolist() == [item for _, item in expected[:6]]


def test_any_token_may_pad():
    tokenizer = bpe_tokenizer()
    assert pad_token_of(tokenizer) == tokenizer.eos_token_id
    tokenizer.pad_token = "<s>"
    assert pad_token_of(tokenizer) == tokenizer.bos_token_id
