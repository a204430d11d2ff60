"""What models are trained with, as asked for; light to import, so telling what is up to date stays quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmi2i_cli.errors import UsageError

FULL_SOFTMAX_ITEMS = 1_000_000  # up to so many items `--softmax auto` compares a target with all of them


@dataclass(frozen=True)
class GeneratorOptions:
    """What `sft-gen` was asked for; None means the base's own default."""

    base_model: str
    alpha: float
    beta: float
    epochs: float | None
    learning_rate: float | None
    batch_size: int | None
    max_length: int | None
    seed: int
    attention: str = "auto"
    gradient_accumulation: int = 1
    deepspeed: Path | None = None
    template: Path | None = None
    checkpoint_steps: int = 0
    patience: int = 0
    softmax: str = "auto"
    sampled_items: int = 8192

    def samples(self, n_items: int) -> bool:
        """Whether the softmax of a catalogue of this size runs over a sample of it."""
        return self.softmax == "sampled" or (self.softmax == "auto" and n_items > FULL_SOFTMAX_ITEMS)


def check_positive(**options: float | None) -> None:
    """UsageError for the first option (``learning_rate`` is ``--learning-rate``) that is given and not above 0."""
    for name, value in options.items():
        if value is not None and not value > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be above 0, not {value}")


def check_discriminator_attention(attention: str) -> None:
    """UsageError for flash_attention_2: it has no mask that would keep candidates behind one history apart."""
    if attention == "flash_attention_2":
        raise UsageError(
            "the discriminator reads many candidates behind one history, and flash_attention_2 cannot keep them apart: "
            "use --attention auto or sdpa"
        )
