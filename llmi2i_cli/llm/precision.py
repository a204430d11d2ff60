"""In which precision large matrices are multiplied."""

from __future__ import annotations

import torch


def fast_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32."""
    if torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32
