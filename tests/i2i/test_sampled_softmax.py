from __future__ import annotations

import numpy as np
import pytest
import torch

from llmi2i_cli.i2i.sampled_softmax import sampled_softmax_loss


def plain_loss(vectors, table, choices, weights):
    """The same by autograd, over gathered vectors."""
    choices = torch.from_numpy(choices)
    logits = (table[choices] * vectors[:, None]).sum(dim=2)
    repeated = choices == choices[:, :1]
    repeated[:, 0] = False
    losses = torch.logsumexp(logits.masked_fill(repeated, -torch.inf), dim=1) - logits[:, 0]
    return (losses * torch.from_numpy(weights)).sum() / weights.sum()


def draw(seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    vectors = (scale * torch.randn(9, 20, generator=generator)).requires_grad_()
    table = torch.randn(7, 20, generator=generator).requires_grad_()
    return (
        vectors,
        table,
        rng.integers(0, 7, (9, 6)),
        rng.random(9, np.float32),
    )  # targets among the negatives are common


def gradients(loss, vectors, table):
    return torch.autograd.grad(2 * loss, (vectors, table))


def test_loss_and_gradients_equal_autograds():
    vectors, table, choices, weights = draw()
    expected, found = (loss(vectors, table, choices, weights) for loss in (plain_loss, sampled_softmax_loss))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(gradients(found, vectors, table), gradients(expected, vectors, table), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_large_logits_stay_finite():
    vectors, table, choices, weights = draw(scale=1e4)
    found = sampled_softmax_loss(vectors, table, choices, weights)
    assert found.item() == pytest.approx(plain_loss(vectors, table, choices, weights).item(), rel=1e-4)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(found, vectors, table))


def test_weights_of_zero_give_no_loss_and_no_gradient():
    vectors, table, choices, weights = draw()
    found = sampled_softmax_loss(vectors, table, choices, 0 * weights)
    assert found.item() == 0
    assert all((gradient == 0).all() for gradient in gradients(found, vectors, table))
