"""In which precision large matrices are multiplied."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

SHORT_ROW = 64  # tokens; up to so many torch's fused attention takes twice as long on a CPU as plain products


def fast_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32."""
    if torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32


@contextlib.contextmanager
def multiplying_in(dtype: torch.dtype | None, embedded: torch.Tensor) -> Iterator[None]:
    """Within the block, layers given `embedded`, (R, L, D), multiply in `dtype`; None: in that of their weights."""
    if dtype is None:
        yield
        return
    plain = embedded.device.type == "cpu" and embedded.shape[1] <= SHORT_ROW
    with (
        torch.autocast(embedded.device.type, dtype),
        sdpa_kernel(SDPBackend.MATH) if plain else contextlib.nullcontext(),
    ):
        yield
