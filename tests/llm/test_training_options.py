from __future__ import annotations

from pathlib import Path

from llmi2i_cli.llm.finetuning_options import DiscriminatorOptions, GeneratorOptions
from llmi2i_cli.llm.presets import PRESETS, discriminator_defaults
from llmi2i_cli.llm.training_options import TrainingOptions, resolve

TINY = PRESETS["llama-tiny"].training


def test_what_is_not_asked_for_is_the_bases_own():
    assert resolve(GeneratorOptions(), TINY, 1_300) == TrainingOptions(
        epochs=24, learning_rate=1e-3, batch_size=32, weight_decay=0.01, warmup_share=0.0, seed=42
    )
    judging = discriminator_defaults(TINY, from_scratch=True)
    assert resolve(DiscriminatorOptions(), judging, 100) == TrainingOptions(
        epochs=2, learning_rate=5e-4, batch_size=64, weight_decay=0.01, warmup_share=0.1, seed=42
    )


def test_what_is_asked_for_comes_first():
    asked = GeneratorOptions(
        epochs=0.5,
        learning_rate=0.1,
        batch_size=6,
        gradient_accumulation=3,
        seed=7,
        deepspeed=Path("zero2"),
        checkpoint_steps=9,
    )
    assert resolve(asked, TINY, 1_300, best_by="recall", patience=2, stop_after=1.5) == TrainingOptions(
        epochs=0.5,
        learning_rate=0.1,
        batch_size=6,
        weight_decay=0.01,
        warmup_share=0.0,
        seed=7,
        gradient_accumulation=3,
        deepspeed=Path("zero2"),
        checkpoint_steps=9,
        best_by="recall",
        patience=2,
        stop_after=1.5,
    )
