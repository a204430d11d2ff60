"""Where and in which precision a trained model is asked: what is calibrated must be what is asked later."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from llmi2i_cli.runs.processes import local_rank

Model = TypeVar("Model", bound=nn.Module)


def device_and_dtype() -> tuple[torch.device, torch.dtype]:
    """This process's GPU and bfloat16; without one the CPU, which keeps float32."""
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank()), torch.bfloat16
    return torch.device("cpu"), torch.float32


def ready_to_ask(model: Model) -> Model:
    """The `model` itself, in evaluation mode, on the device and in the precision in which it is asked."""
    device, dtype = device_and_dtype()
    return model.eval().to(device, dtype)
