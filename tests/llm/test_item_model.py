"""One pass over packed users equals one prompt at a time, in value and in every parameter's gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from llmi2i_cli.llm.bases import Base, answer_tokens, load_base
from llmi2i_cli.llm.generator_training import GeneratorExamples
from llmi2i_cli.llm.item_model import DiscriminatorModel, GeneratorModel, RaggedTokens, TitleWords
from llmi2i_cli.llm.packing import TokenSequence, pack
from llmi2i_cli.llm.prompts import BARE, build_pieces, discriminator_sequence, read_template
from tests.llm.tiny import FAMILIES, catalogue_of, random_histories, save_pretrained_base, titles_of

N_ITEMS = 12
PROFILES = ["red", "", "large oak table", "", "blue"]
# (family, chat template, tied head); the presets come as "llama-tiny"
BASES = [("llama-tiny", False, True), *((family, False, False) for family in FAMILIES), ("llama", True, True)]


@pytest.fixture(scope="module", params=BASES, ids=lambda param: f"{param[0]}{'-chat' if param[1] else ''}")
def base(request, tmp_path_factory):
    family, chat, tied = request.param
    spec = family
    if family in FAMILIES:
        spec = str(save_pretrained_base(tmp_path_factory.mktemp("base"), family, chat=chat, tied=tied))
    found = load_base(spec, catalogue_of(titles_of(N_ITEMS)), attention="sdpa", seed=0, n_evidence=6)
    if found.from_scratch:
        with torch.no_grad():  # fresh weights give nearly the same state everywhere: a lost token would go unnoticed
            for parameter in found.llm.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(8)
    assert (found.llm.get_output_embeddings().weight is found.llm.get_input_embeddings().weight) == (
        tied or family == "gpt2"
    )
    return found


def pieces_of(base: Base, role: str):
    template = BARE[role] if base.from_scratch else read_template(None, role)
    titles = None if base.from_scratch else base.titles
    profiles = None if base.from_scratch else PROFILES
    return build_pieces(base.tokenizer, base.layout, template, profiles=profiles, titles=titles)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(found, expected):
    assert found.keys() == expected.keys()
    assert found
    for name, gradient in found.items():
        error = float((gradient - expected[name]).norm() / expected[name].norm().clamp_min(1e-6))
        assert error < 1e-4, (name, error)


def plain_last_state(model, table, tokens, added=()):
    """The twin: one prompt, no packing, no mask of ours; `added` are (place, token) whose embedding is added there."""
    embedded = functional.embedding(torch.from_numpy(tokens)[None], table)
    for place, token in added:
        at_place = functional.one_hot(torch.tensor(place), len(tokens))[None, :, None]
        embedded = embedded + at_place * table[token]
    return model.decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state[0, -1]


def test_all_targets_in_one_pass_equal_one_prompt_a_target(base):
    pieces = pieces_of(base, "generator")
    model = GeneratorModel(base.llm, base.layout, titles=base.title_words).eval()
    weights = np.linspace(0.5, 4, N_ITEMS).astype(np.float32)
    examples = GeneratorExamples(pieces, random_histories(5, N_ITEMS, seed=2, longest=6), weights, max_length=200)
    assert len(examples) == 5
    found = [examples.sequence(index) for index in range(5)]
    targets, target_weights = (torch.from_numpy(np.concatenate([f[k] for f in found])) for k in (1, 2))
    rows = vars(pack([sequence for sequence, _, _ in found], pad_token=0))
    one_pass = model(labels=targets.long(), weights=target_weights, **rows)["loss"]

    table = model.input_table()
    head = table if model.head is None else model.head.weight
    total = torch.zeros(())
    for sequence, items, item_weights in found:
        for place, item, weight in zip(sequence.outputs, items, item_weights, strict=True):
            state = plain_last_state(model, table, sequence.tokens[: place + 1])
            logits = head[base.layout.item_rows] @ state
            total = total + functional.cross_entropy(logits, torch.tensor(int(item))) * float(weight)
    one_by_one = total / len(targets)
    torch.testing.assert_close(one_pass, one_by_one, rtol=1e-5, atol=1e-5)
    assert_same_gradients(gradients(model, one_pass), gradients(model, one_by_one))


def test_candidates_behind_one_history_equal_one_prompt_a_candidate(base):
    pieces = pieces_of(base, "discriminator")
    yes, no = answer_tokens(base.tokenizer)
    model = DiscriminatorModel(base.llm, base.layout, titles=base.title_words, yes_token=yes, no_token=no).eval()
    rng = np.random.default_rng(0)
    shared, single = [], []
    for user, n_candidates in enumerate((4, 1, 3, 2, 5)):
        items = rng.integers(0, N_ITEMS, user).astype(np.int32)  # the first user has none
        candidates = rng.integers(0, N_ITEMS, n_candidates).astype(np.int32)
        evidence = rng.integers(0, 6, (n_candidates, 2)).astype(np.int32)
        shared.append(discriminator_sequence(pieces, user, items, candidates, evidence, 200))
        for k in range(n_candidates):
            one = discriminator_sequence(pieces, user, items, candidates[k : k + 1], evidence[k : k + 1], 200)
            assert one.positions.tolist() == list(range(len(one.tokens)))
            added = [(int(one.evidence_at[0]), int(token)) for token in one.evidence[0]]
            assert one.tokens[added[0][0]] == base.layout.base_vocab + candidates[k]
            single.append((one.tokens, added))
    odds = model.log_odds(**vars(pack(shared, pad_token=0)))
    table = model.input_table()
    head = table if model.head is None else model.head.weight
    states = torch.stack([plain_last_state(model, table, *prompt) for prompt in single])
    logits = states @ head[[no, yes]].T
    expected = logits[:, 1] - logits[:, 0]
    assert odds.std() > 0.01
    torch.testing.assert_close(odds, expected, rtol=1e-4, atol=1e-4)

    labels = torch.from_numpy(rng.integers(0, 2, len(single)))
    weights = torch.from_numpy(rng.random(len(single)).astype(np.float32))
    loss = model(labels=labels, weights=weights, **vars(pack(shared, pad_token=0)))["loss"]
    twin = (functional.cross_entropy(logits, labels, reduction="none") * weights).sum() / len(labels)
    torch.testing.assert_close(loss, twin, rtol=1e-4, atol=1e-5)
    assert_same_gradients(gradients(model, loss), gradients(model, twin))


@pytest.fixture(scope="module")
def tiny():
    found = load_base("llama-tiny", catalogue_of(titles_of(N_ITEMS)), attention="sdpa", seed=0)
    model = GeneratorModel(found.llm, found.layout, titles=found.title_words).eval()
    return found, model


def batch_of(base, items, pad=0):
    tokens = np.array([1, *(base.layout.base_vocab + np.array(items[:-1]))], np.int64)
    n = len(tokens)
    return vars(pack([TokenSequence(tokens, np.arange(n), np.zeros(n, np.int32), np.arange(n))], pad))


def test_a_tail_targets_gradient_is_exactly_alpha_times_and_nobody_elses_changes(tiny):
    base, model = tiny
    items = [3, 1, 4]

    def gradient_of(weights):
        loss = model(labels=torch.tensor(items), weights=torch.tensor(weights), **batch_of(base, items))["loss"]
        return gradients(model, loss)

    ones, alpha = gradient_of([1.0, 1, 1]), gradient_of([1.0, 4, 1])
    tail_alone, others = gradient_of([0.0, 1, 0]), gradient_of([1.0, 0, 1])
    assert_same_gradients(alpha, {name: others[name] + 4 * tail_alone[name] for name in ones})
    assert_same_gradients(ones, {name: others[name] + tail_alone[name] for name in ones})


def test_the_divisor_counts_targets(tiny):
    base, model = tiny
    items = [3, 1, 4]
    labels, weights, rows = torch.tensor(items), torch.tensor([2.0, 4, 0]), batch_of(base, items)
    alone = model(labels=labels, weights=weights, **rows)["loss"]
    of_six = model(labels=labels, weights=weights, num_items_in_batch=6, **rows)["loss"]
    states = model.states(model.input_table(), **rows)
    each = functional.cross_entropy(states @ model.output_rows(model.input_table()).T, labels, reduction="none")
    torch.testing.assert_close(alone, (each @ weights) / 3)
    torch.testing.assert_close(of_six, (each @ weights) / 6)


def test_dropout_acts_in_training_alone(tiny):
    base, _ = tiny
    model = GeneratorModel(base.llm, base.layout, titles=base.title_words, dropout=0.5)
    table, rows = model.input_table(), batch_of(base, [1, 2, 3])
    calm = model.eval().states(table, **rows)
    assert torch.equal(calm, model.states(table, **rows))
    lively = model.train().states(table, **rows)
    assert 0 < (lively == 0).float().mean() < 1
    assert not torch.equal(lively, model.states(table, **rows))
    model.eval()


def test_title_vectors_are_idf_weighted_means():
    """Words 6, 7, 8; the first is in three of four titles, the second in two, the third twice in one."""
    titles = RaggedTokens.from_lists([[6, 7], [6], [], [8, 8, 7, 6]])
    words = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    found = TitleWords(titles, base_vocab=9)(words)
    idf = {word: np.log(5 / (1 + df)) for word, df in ((6, 3), (7, 2), (8, 1))}
    for item in range(4):
        tokens = titles.row(item).tolist()
        total = sum(idf[token] for token in tokens)
        expected = sum((idf[token] / total * words[token] for token in tokens), torch.zeros(4))
        torch.testing.assert_close(found[item], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("titles", [[[], []], [[6, 6, 6], [6, 6]], [[6], [6]]])
def test_titles_that_tell_nothing_add_nothing_large(titles):
    words = torch.ones(9, 4)
    vectors = TitleWords(RaggedTokens.from_lists(titles), base_vocab=9)(words)
    assert vectors.abs().max() <= 1


def test_merged_rows_equal_live_ones(tmp_path):
    found = load_base("llama-tiny", catalogue_of(titles_of(N_ITEMS)), attention="sdpa", seed=1, n_evidence=3)
    model = GeneratorModel(found.llm, found.layout, titles=found.title_words).eval()
    own_rows = found.llm.get_input_embeddings().weight.detach().clone()
    with torch.no_grad():
        live = model.input_table().clone()
        states = model.states(live, **batch_of(found, [1, 2, 3]))
    items = found.layout.item_rows
    assert not torch.equal(live[items], own_rows[items])
    assert torch.equal(live[: items.start], own_rows[: items.start])
    assert torch.equal(live[items.stop :], own_rows[items.stop :])
    model.merge_title_words()
    assert torch.equal(model.input_table(), live)
    model.merge_title_words()  # a second time changes nothing
    assert torch.equal(found.llm.get_output_embeddings().weight, live)
    with torch.no_grad():
        assert torch.equal(model.states(model.input_table(), **batch_of(found, [1, 2, 3])), states)
