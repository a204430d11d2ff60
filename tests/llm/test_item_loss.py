from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from llmi2i_cli.llm import item_loss
from llmi2i_cli.llm.item_loss import weighted_item_cross_entropy


def cut_into_chunks(monkeypatch, targets):
    monkeypatch.setattr(item_loss, "CHUNK_LOGITS", 0)
    monkeypatch.setattr(item_loss, "FEWEST_TARGETS", targets)


def plain_loss(hidden, table, targets, weights):
    """The twin: all logits at once, torch's own cross entropy, autograd."""
    return (functional.cross_entropy(hidden @ table.T, targets, reduction="none") * weights).sum()


def problem(n_targets, n_items, width=8, *, scale=1.0, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n_targets, width, generator=generator, dtype=dtype) * scale
    table = torch.randn(n_items, width, generator=generator, dtype=dtype)
    targets = torch.randint(0, n_items, (n_targets,), generator=generator)
    weights = torch.rand(n_targets, generator=generator).to(dtype) * 4
    return hidden.requires_grad_(), table.requires_grad_(), targets, weights


def value_and_gradients(loss, hidden, table):
    return (loss.detach(), *torch.autograd.grad(loss, (hidden, table)))


def relative_error(found, expected):
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@pytest.mark.parametrize("n_targets", [1, 15, 16, 17, 32, 33, 100])
@pytest.mark.parametrize("chunk", [16, 33, 1000])
def test_value_and_gradients_whatever_the_chunks(monkeypatch, n_targets, chunk):
    cut_into_chunks(monkeypatch, chunk)
    hidden, table, targets, weights = problem(n_targets, 30)
    found = value_and_gradients(weighted_item_cross_entropy(hidden, table, targets, weights), hidden, table)
    hidden, table = (x.detach().double().requires_grad_() for x in (hidden, table))
    expected = value_and_gradients(plain_loss(hidden, table, targets, weights.double()), hidden, table)
    for f, e in zip(found, expected, strict=True):
        assert relative_error(f, e) < 2e-6


def test_in_float64_it_is_as_exact_as_torch(monkeypatch):
    cut_into_chunks(monkeypatch, 16)
    hidden, table, targets, weights = problem(40, 12, dtype=torch.float64)
    loss = weighted_item_cross_entropy(hidden, table, targets, weights, dtype=torch.float64)
    found = value_and_gradients(loss, hidden, table)
    expected = value_and_gradients(plain_loss(hidden, table, targets, weights), hidden, table)
    for f, e in zip(found, expected, strict=True):
        assert f.dtype == torch.float64
        assert relative_error(f, e) < 1e-13


def test_gradcheck(monkeypatch):
    cut_into_chunks(monkeypatch, 16)
    hidden, table, targets, weights = problem(20, 5, width=3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda h, t: weighted_item_cross_entropy(h, t, targets, weights, dtype=torch.float64) * 0.3, (hidden, table)
    )


def test_bfloat16_is_within_a_percent():
    hidden, table, targets, weights = problem(300, 500, width=32, scale=0.5)
    loss = weighted_item_cross_entropy(hidden, table, targets, weights, dtype=torch.bfloat16)
    found = value_and_gradients(loss, hidden, table)
    expected = value_and_gradients(plain_loss(hidden, table, targets, weights), hidden, table)
    assert loss.dtype == torch.float32
    for f, e in zip(found, expected, strict=True):
        assert relative_error(f, e) < 0.01


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_extreme_logits_neither_overflow_nor_vanish(scale):
    hidden, table, targets, weights = problem(50, 20, scale=scale)
    found = value_and_gradients(weighted_item_cross_entropy(hidden, table, targets, weights), hidden, table)
    expected = value_and_gradients(plain_loss(hidden, table, targets, weights), hidden, table)
    for f, e in zip(found, expected, strict=True):
        assert torch.isfinite(f).all()
        assert relative_error(f, e) < 1e-5


def test_no_targets_cost_nothing():
    hidden, table, targets, weights = problem(0, 5)
    loss, *gradients = value_and_gradients(weighted_item_cross_entropy(hidden, table, targets, weights), hidden, table)
    assert loss == 0
    assert [g.shape for g in gradients] == [(0, 8), (5, 8)]
    assert not gradients[1].any()


def test_without_gradients_the_value_is_the_same():
    hidden, table, targets, weights = problem(50, 20)
    with torch.no_grad():
        alone = weighted_item_cross_entropy(hidden, table, targets, weights)
    assert alone == weighted_item_cross_entropy(hidden, table, targets, weights)


def test_a_weight_multiplies_its_own_target_and_no_other():
    hidden, table, targets, _ = problem(6, 10)
    one, four = torch.ones(6), torch.tensor([1.0, 4, 1, 1, 4, 0])
    _, plain, _ = value_and_gradients(weighted_item_cross_entropy(hidden, table, targets, one), hidden, table)
    _, weighted, _ = value_and_gradients(weighted_item_cross_entropy(hidden, table, targets, four), hidden, table)
    torch.testing.assert_close(weighted, plain * four[:, None], rtol=1e-6, atol=0)
