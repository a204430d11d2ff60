"""The numbers that a training runs with, when all that was left open has been decided."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llmi2i_cli.llm.finetuning_options import FineTuningOptions
from llmi2i_cli.llm.presets import TrainingDefaults, lora_defaults

if TYPE_CHECKING:
    from transformers import TrainerState


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. `batch_size` counts users per step over all processes and accumulation steps."""

    epochs: float
    learning_rate: float
    batch_size: int
    weight_decay: float
    warmup_share: float
    seed: int
    gradient_accumulation: int = 1
    lora: int | None = None  # rank; None: all weights are trained
    lora_alpha: float = 0.0
    deepspeed: Path | None = None
    checkpoint_steps: int = 0  # 0: once per epoch
    best_by: str | None = None  # figure of the evaluation by which the best epoch's weights are kept; None: the last's
    patience: int = 0  # epochs without a better figure before the training ends; 0: it goes through
    stop_after: float | None = None  # epochs; the schedule is still that of all

    def ends_at(self, state: TrainerState) -> bool:
        """Whether a training that has come this far is over, be it before all its epochs."""
        since_best = state.global_step - (state.best_global_step or state.global_step)
        stop_after = self.epochs if self.stop_after is None else self.stop_after
        return (bool(self.patience) and since_best >= self.patience * state.save_steps) or (
            state.global_step >= stop_after * state.save_steps
        )


def resolve(
    options: FineTuningOptions,
    defaults: TrainingDefaults,
    n_examples: int,
    *,
    best_by: str | None = None,
    patience: int = 0,
    stop_after: float | None = None,
) -> TrainingOptions:
    """What was asked for, and the base's `defaults` for what was not.

    `best_by`, `patience` and `stop_after` are as in `TrainingOptions`.
    """
    if options.lora:
        defaults = lora_defaults(defaults)
    return TrainingOptions(
        epochs=options.epochs or defaults.epochs,
        learning_rate=options.learning_rate or defaults.learning_rate,
        batch_size=options.batch_size or defaults.batch_size_for(n_examples),
        weight_decay=defaults.weight_decay,
        warmup_share=defaults.warmup_share,
        seed=options.seed,
        gradient_accumulation=options.gradient_accumulation,
        lora=options.lora,
        lora_alpha=options.lora_alpha or 2 * (options.lora or 0),
        deepspeed=options.deepspeed,
        checkpoint_steps=options.checkpoint_steps,
        best_by=best_by,
        patience=patience,
        stop_after=stop_after,
    )
