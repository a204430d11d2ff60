"""Named base models that are trained from scratch, and the training defaults that go with each kind of base.

A preset is a small Llama with tied embeddings whose vocabulary is the words of the catalogue's own texts. The numbers
of `llama-tiny` were chosen on the validation split of one public log, amazon-beauty; examples/paper/NOTES.md has the
figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

FEWEST_USERS_A_STEP = 16


@dataclass(frozen=True)
class TrainingDefaults:
    """How a base is trained unless the user says otherwise.

    `batch_size` counts users per step, and is halved for a small log with fewer than `fewest_steps` per epoch;
    `max_length` counts tokens per user; dropout acts on embeddings and on the last hidden state.
    """

    epochs: float
    learning_rate: float
    batch_size: int
    max_length: int
    weight_decay: float
    warmup_share: float
    dropout: float
    fewest_steps: int = 40

    def batch_size_for(self, n_examples: int) -> int:
        """`batch_size`, halved while an epoch has too few steps: a small log needs as many steps as another."""
        size = self.batch_size
        while size > FEWEST_USERS_A_STEP and -(-n_examples // size) < self.fewest_steps:
            size //= 2
        return size


@dataclass(frozen=True)
class Preset:
    """A Llama to train from scratch. `text_words` bounds the vocabulary of title words."""

    name: str
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    text_words: int
    training: TrainingDefaults


# The paper's, for bases that come with weights: Adam, 5e-5, batch 16, 1,024 tokens.
PRETRAINED = TrainingDefaults(
    epochs=3, learning_rate=5e-5, batch_size=16, max_length=1024, weight_decay=0.0, warmup_share=0.03, dropout=0.0
)

TINY = Preset(
    name="llama-tiny",
    hidden_size=128,
    layers=2,
    heads=2,
    intermediate_size=256,
    text_words=20_000,
    training=TrainingDefaults(
        epochs=24, learning_rate=1e-3, batch_size=256, max_length=64, weight_decay=0.01, warmup_share=0.0, dropout=0.4
    ),
)
SMALL = replace(
    TINY,
    name="llama-small",
    hidden_size=256,
    layers=4,
    heads=4,
    intermediate_size=688,
    training=replace(TINY.training, max_length=128, warmup_share=0.02),
)
BASE = replace(
    SMALL,
    name="llama-base",
    hidden_size=512,
    layers=8,
    heads=8,
    intermediate_size=1376,
    training=replace(SMALL.training, learning_rate=5e-4, max_length=256),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in (TINY, SMALL, BASE)})


def continued_defaults(first: TrainingDefaults) -> TrainingDefaults:
    """How a model that was trained with `first` goes on with further days: one pass at half the rate.

    That is enough where it is the same model that goes on every night; what goes on from the night before wears off
    (examples/paper/NOTES.md).
    """
    return replace(first, epochs=1, learning_rate=first.learning_rate / 2)


def lora_defaults(whole: TrainingDefaults) -> TrainingDefaults:
    """How a base is trained by LoRA that would be trained whole with `whole`: at ten times the learning rate.

    That is where LoRA learns as well (Schulman et al., "LoRA Without Regret", 2025).
    """
    return replace(whole, learning_rate=10 * whole.learning_rate)


def discriminator_defaults(generator: TrainingDefaults, from_scratch: bool) -> TrainingDefaults:
    """How a discriminator is trained on a base with these defaults; a preset needs fewer, gentler steps."""
    if not from_scratch:
        return generator
    return replace(
        generator, epochs=2, learning_rate=5e-4, batch_size=64, dropout=0.2, warmup_share=0.1, fewest_steps=0
    )
