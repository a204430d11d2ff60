"""LoRA: a base's own weights stay as they are, and what small matrices beside them learn is added (Hu et al., 2022).

The rows of items and evidence are no part of the base, so they are trained in full; the words' rows beside them stay.
Saving merges everything, and what is left is a checkpoint like any other.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import parametrize

from llmi2i_cli.errors import ModelError, UsageError
from llmi2i_cli.llm.item_model import ItemModel

if TYPE_CHECKING:
    from llmi2i_cli.llm.bases import Base


def check_adaptable(base: Base) -> None:
    """ModelError without the package peft, UsageError for a base that has learnt nothing yet."""
    if base.from_scratch:
        raise UsageError(
            f"--lora adapts a base that comes with weights, and {base.spec} is trained whole: leave it out"
        )
    if importlib.util.find_spec("peft") is None:
        raise ModelError("--lora needs the package peft: pip install 'llmi2i[lora]'")


class Adapters:
    """Low-rank matrices beside every linear layer of a model's blocks, and the model's own weights frozen.

    What is frozen is kept in the precision in which the model's layers multiply; what is trained is float32.

    Parameters
    ----------
    model : adapted in place
    rank : of the matrices
    alpha : what they learn counts alpha / rank
    """

    def __init__(self, model: ItemModel, rank: int, alpha: float) -> None:
        from peft import LoraConfig, LoraModel
        from peft.tuners.lora import LoraLayer
        from transformers.pytorch_utils import Conv1D

        transposed = any(isinstance(module, Conv1D) for module in model.modules())  # GPT-2's layers
        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", fan_in_fan_out=transposed)
        self._model = model
        self._tuner = LoraModel(model.llm, config, "default")  # all but its matrices is frozen from here on
        dtype = model.decoder_dtype or torch.float32
        self._tables = model.item_tables()
        for table in self._tables:
            rows = _RowsBehindWords(table.weight[: model.layout.base_vocab].to(dtype))
            trained = table.weight  # is made the rows behind the words in place
            parametrize.register_parametrization(table, "weight", rows, unsafe=True)
            trained.requires_grad_(True)
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.cast_input_dtype_enabled = False  # autocast does it, once
        for parameter in model.parameters():
            if not parameter.requires_grad:  # copies, so that nothing keeps the file of weights in memory
                parameter.data = parameter.data.to(dtype if parameter.dim() > 1 else parameter.dtype, copy=True)

    @torch.no_grad()
    def merge(self) -> None:
        """Add what was learnt to the model's own weights, float32 by now, as if they had been trained themselves."""
        for table in self._tables:
            parametrize.remove_parametrizations(table, "weight", leave_parametrized=True)
        self._tuner.merge_and_unload()
        self._model.requires_grad_(True)


class _RowsBehindWords(nn.Module):
    """A table of embeddings, (vocabulary, D): the rows of words, which stay, and those behind, which are trained."""

    def __init__(self, words: torch.Tensor) -> None:
        super().__init__()
        self.words: torch.Tensor
        self.register_buffer("words", words.detach().clone())

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.words, rows])

    def right_inverse(self, table: torch.Tensor) -> torch.Tensor:
        """The rows behind the words, as a table of their own: the whole one need not stay in memory."""
        return table[len(self.words) :].clone()
