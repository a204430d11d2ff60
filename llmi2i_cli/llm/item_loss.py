"""The long-tail-aware loss over item tokens, eq. (2) of the paper, without ever holding all logits.

    loss = sum_i w_i * -log softmax(table @ hidden_i)[target_i] / normaliser

The softmax runs over the item tokens only: the generator is asked for an item, never for a word. Targets are taken in
chunks; each chunk's logits live in one buffer that is turned in place into probabilities and then into the gradient, so
forward and backward cost three matrix products and one chunk of memory. That the gradient is made in the forward
pass is sound because the loss is a scalar: backward only scales it.
"""

from __future__ import annotations

from typing import Any

import torch

CHUNK_LOGITS = 4 << 20  # logits held at once: 8 MB in bf16, what a core's share of the last-level cache takes;
GPU_CHUNK_LOGITS = 256 << 20  # a GPU wants large products more than small buffers
FEWEST_TARGETS = 128  # but of so many targets at least: each chunk reads and writes whole tables


class _ItemCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        hidden: torch.Tensor,  # (T, D)
        table: torch.Tensor,  # (V, D)
        targets: torch.Tensor,  # (T,)
        weights: torch.Tensor,  # (T,)
        offsets: torch.Tensor | None,  # (V,)
        dtype: torch.dtype,
    ) -> torch.Tensor:
        need_gradient = hidden.requires_grad or table.requires_grad
        table_low = table.detach().to(dtype)
        hidden_low = hidden.detach().to(dtype)
        hidden_gradient = torch.zeros_like(hidden)
        exact = torch.promote_types(dtype, torch.float32)  # of sums over many terms
        table_gradient = torch.zeros_like(table, dtype=exact)
        total = torch.zeros((), dtype=exact, device=hidden.device)
        chunk = max(FEWEST_TARGETS, (GPU_CHUNK_LOGITS if hidden.is_cuda else CHUNK_LOGITS) // len(table))
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            target, weight = targets[part, None], weights[part, None].to(exact)
            logits = hidden_low[part] @ table_low.T  # (C, V)
            target_logit = logits.gather(1, target)
            if offsets is not None:
                logits.add_(offsets.to(dtype)).scatter_(1, target, target_logit)
            largest = logits.amax(1, keepdim=True)
            exponentials = logits.sub_(largest).exp_()
            normaliser = exponentials.sum(1, keepdim=True, dtype=exact)
            total += ((normaliser.log() + largest.to(exact) - target_logit.to(exact)) * weight).sum()
            if need_gradient:
                gradient = exponentials.mul_((weight / normaliser).to(dtype))
                gradient.scatter_add_(1, target, -weight.to(dtype))
                hidden_gradient[part] = (gradient @ table_low).to(hidden.dtype)
                table_gradient += gradient.T @ hidden_low[part]
        ctx.save_for_backward(hidden_gradient, table_gradient.to(table.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        hidden_gradient, table_gradient = ctx.saved_tensors
        return hidden_gradient * grad, table_gradient * grad, None, None, None, None


def weighted_item_cross_entropy(
    hidden: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    *,
    offsets: torch.Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Sum of weighted cross entropies; the caller divides by its normaliser.

    Parameters
    ----------
    hidden : float (T, D), the model's state at each position whose next token is an item
    table : float (V, D), output rows of the item tokens
    targets : int64 (T,), item indices in ``0 .. V - 1``
    weights : float (T,), alpha for a long-tail target, beta for another
    offsets : float (V,), added to the logits of all items but the target's own: what a sampled item stands for
    dtype : of logits and probabilities within a chunk; sums are float32 at least. bfloat16 is faster where
        the hardware multiplies it, at a relative error of the gradient below 1%.

    Returns
    -------
    scalar, float32 (float64 if `dtype` is)
    """
    total: torch.Tensor = _ItemCrossEntropy.apply(hidden, table, targets, weights, offsets, dtype)
    return total
