"""The softmax over a sample: equal to the full one where all is drawn, right in expectation, hits of the target out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from llmi2i_cli.llm.bases import load_base
from llmi2i_cli.llm.finetune import fine_tune
from llmi2i_cli.llm.generator_training import GeneratorExamples
from llmi2i_cli.llm.item_loss import weighted_item_cross_entropy
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.item_sampler import ItemSampler
from llmi2i_cli.llm.packing import pack
from llmi2i_cli.llm.prompts import build_pieces, read_template
from llmi2i_cli.llm.training_options import TrainingOptions
from llmi2i_cli.llm.training_place import TrainingPlace
from tests.llm.tiny import catalogue_of, random_histories, save_pretrained_base, titles_of

N_ITEMS = 12
COUNTS = np.array([40, 0, 3, 9, 1, 1, 0, 20, 5, 2, 0, 7])
NOTHING = torch.zeros(0, dtype=torch.int64)
ALL_DRAWN = 4000  # so often that each of twelve items is drawn for certain


def test_offsets_say_how_often_an_item_is_among_the_drawn():
    sampler = ItemSampler.of_counts(COUNTS, draws=6)
    share = 0.5 / N_ITEMS + 0.5 * COUNTS / COUNTS.sum()
    np.testing.assert_allclose(sampler.offsets, -np.log(1 - (1 - share) ** 6), rtol=1e-6)
    torch.manual_seed(0)
    seen = np.zeros(N_ITEMS)
    for _ in range(4000):
        items, offsets = sampler.draw(NOTHING)
        assert torch.equal(offsets, sampler.offsets[items])
        seen[items] += 1
    np.testing.assert_allclose(seen / 4000, 1 - (1 - share) ** 6, atol=0.03)


def test_a_draw_holds_what_is_needed_with_no_weight_and_each_item_once():
    sampler = ItemSampler.of_counts(COUNTS, draws=3)
    torch.manual_seed(1)
    drawn, _ = sampler.draw(NOTHING)
    missing = sorted(set(range(N_ITEMS)) - set(drawn.tolist()))
    torch.manual_seed(1)
    items, offsets = sampler.draw(torch.tensor([missing[0], *drawn.tolist(), missing[0]]))
    assert items.tolist() == sorted([*drawn.tolist(), missing[0]])
    assert [item for item, offset in zip(items.tolist(), offsets, strict=True) if offset == -torch.inf] == missing[:1]


@pytest.mark.parametrize("counts", [[0, 0, 0], [5]])
def test_catalogues_at_the_edge(counts):
    items, offsets = ItemSampler.of_counts(np.array(counts), draws=200).draw(NOTHING)
    assert items.tolist() == list(range(len(counts)))
    assert offsets.abs().max() < 1e-6


def twin(hidden, table, targets, weights, drawn, offsets):
    """One target after the other: itself, and the drawn items but itself with their offsets."""
    total = torch.zeros((), dtype=hidden.dtype)
    for state, target, weight in zip(hidden, targets.tolist(), weights, strict=True):
        others = [k for k, item in enumerate(drawn.tolist()) if item != target]
        logits = torch.cat([table[[target]] @ state, table[drawn[others]] @ state + offsets[others]])
        total = total + functional.cross_entropy(logits[None], torch.tensor([0])) * weight
    return total


def problem(n_targets):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(n_targets, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    table = torch.randn(N_ITEMS, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(n_targets, generator=generator, dtype=torch.float64) * 4
    return hidden, table, torch.randint(0, N_ITEMS, (n_targets,), generator=generator), weights


def sampled(hidden, table, targets, weights, items, offsets):
    return weighted_item_cross_entropy(
        hidden, table[items], torch.searchsorted(items, targets), weights, offsets=offsets, dtype=torch.float64
    )


@pytest.mark.parametrize("draws", [1, 4, 30])
def test_value_and_gradients_equal_one_target_after_the_other(draws):
    hidden, table, targets, weights = problem(40)
    sampler = ItemSampler.of_counts(COUNTS, draws)
    torch.manual_seed(2)
    items, offsets = sampler.draw(targets)
    real = offsets > -torch.inf
    assert (~real).any() or draws == 30
    expected = twin(hidden, table, targets, weights, items[real], offsets[real].double())
    found = sampled(hidden, table, targets, weights, items, offsets.double())
    torch.testing.assert_close(found, expected)
    for f, e in zip(*(torch.autograd.grad(loss, (hidden, table)) for loss in (found, expected)), strict=True):
        torch.testing.assert_close(f, e)


def test_over_many_draws_the_gradient_approaches_the_full_one():
    hidden, table, targets, weights = problem(5)
    full = weighted_item_cross_entropy(hidden, table, targets, weights, dtype=torch.float64)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(full, (hidden, table))])
    torch.manual_seed(3)
    errors = []
    for draws in (4, 40):
        sampler, mean = ItemSampler.of_counts(COUNTS, draws), torch.zeros_like(expected)
        for _ in range(3000):
            items, offsets = sampler.draw(targets)
            gradients = torch.autograd.grad(
                sampled(hidden, table, targets, weights, items, offsets.double()), (hidden, table)
            )
            mean += torch.cat([g.flatten() for g in gradients]) / 3000
        errors.append(float((mean - expected).norm() / expected.norm()))
    assert errors[1] < 0.02
    assert errors[1] < errors[0] < 0.3  # the logarithm of an estimate is biased the less, the more is drawn


@pytest.fixture(scope="module", params=["llama-tiny", "gpt2"])
def base_of(request, tmp_path_factory):
    spec = request.param
    if spec != "llama-tiny":
        spec = str(save_pretrained_base(tmp_path_factory.mktemp("base"), spec))
    return lambda: load_base(spec, catalogue_of(titles_of(N_ITEMS)), attention="sdpa", seed=1)


def model_and_examples(base, sampler, *, dropout=0.0):
    torch.manual_seed(1)
    model = GeneratorModel(base.llm, base.layout, dropout=dropout, titles=base.title_words, sampler=sampler)
    template = read_template(None, "generator")
    titles = None if base.from_scratch else base.titles
    pieces = build_pieces(base.tokenizer, base.layout, template, profiles=None, titles=titles)
    weights = np.where(np.arange(N_ITEMS) < 3, 4, 1).astype(np.float32)
    return model, GeneratorExamples(pieces, random_histories(18, N_ITEMS, seed=0), weights, 200)


def loss_and_gradients(base, sampler):
    model, examples = model_and_examples(base, sampler)
    found = [examples.sequence(index) for index in range(4)]
    labels, weights = (torch.from_numpy(np.concatenate([f[k] for f in found])) for k in (1, 2))
    loss = model(labels=labels.long(), weights=weights, **vars(pack([f[0] for f in found], 0)))["loss"]
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


def test_with_all_items_drawn_a_step_is_the_full_one(base_of):
    full, expected = loss_and_gradients(base_of(), None)
    loss, gradients = loss_and_gradients(base_of(), ItemSampler.of_counts(COUNTS, ALL_DRAWN))
    torch.testing.assert_close(loss, full)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


def test_items_that_a_step_does_not_look_at_get_no_gradient(base_of):
    base = base_of()
    model, examples = model_and_examples(base, ItemSampler.of_counts(np.eye(1, N_ITEMS, dtype=int)[0], 1))
    sequence, targets, weights = examples.sequence(2)
    torch.manual_seed(4)
    loss = model(
        labels=torch.from_numpy(targets).long(), weights=torch.from_numpy(weights), **vars(pack([sequence], 0))
    )["loss"]
    loss.backward()
    head = base.llm.get_output_embeddings().weight.grad[base.layout.item_rows]
    torch.manual_seed(4)
    items, _ = model.sampler.draw(torch.from_numpy(targets).long())
    untouched = sorted(set(range(N_ITEMS)) - set(items.tolist()))
    assert untouched
    assert not head[untouched].any()
    assert head[items].any(dim=1).all()


class Killed(BaseException):
    pass


def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path, base_of):
    def train(folder, stop_at=None):
        def on_step(done, total, text):
            if done == stop_at:
                raise Killed

        model, examples = model_and_examples(base_of(), ItemSampler.of_counts(COUNTS, 3), dropout=0.3)
        given = TrainingOptions(
            epochs=2, learning_rate=1e-2, batch_size=4, weight_decay=0, warmup_share=0, seed=5, checkpoint_steps=3
        )
        fine_tune(
            model,
            examples,
            given,
            TrainingPlace(folder, on_step=on_step),
            pad_token=0,
        )
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "killed", stop_at=5)
    assert torch.equal(train(tmp_path / "killed"), whole)
    assert (tmp_path / "killed/log.jsonl").read_bytes() == (tmp_path / "whole/log.jsonl").read_bytes()
