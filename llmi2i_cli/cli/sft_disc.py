"""The command `llmi2i sft-disc`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from llmi2i_cli.cli.options import (
    WORKDIR,
    AsJson,
    Attention,
    BatchSize,
    CheckpointSteps,
    DeepSpeed,
    Epochs,
    Force,
    GradientAccumulation,
    LearningRate,
    MaxLength,
    Resume,
    Seed,
    Template,
    Workdir,
)
from llmi2i_cli.cli.printing import print_manifest


def sft_disc(
    workdir: Workdir = WORKDIR,
    base_model: Annotated[
        str | None,
        typer.Option(help="Base, as in sft-gen.", show_default="a generator that has not seen the judged interactions"),
    ] = None,
    negatives: Annotated[
        Literal["uniform", "popularity", "generator"],
        typer.Option(help="Where the No examples come from; generator trains a second one without the last items."),
    ] = "generator",
    negatives_per_positive: Annotated[int, typer.Option(help="No examples for each Yes.", min=1)] = 15,
    epochs: Epochs = None,
    learning_rate: LearningRate = None,
    batch_size: BatchSize = None,
    gradient_accumulation: GradientAccumulation = 1,
    max_length: MaxLength = None,
    seed: Seed = 42,
    deepspeed: DeepSpeed = None,
    attention: Attention = "auto",
    template: Template = None,
    checkpoint_steps: CheckpointSteps = 0,
    resume: Resume = True,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the discriminator to answer Yes or No to a candidate.

    Example: llmi2i sft-disc -w work --negatives generator
    """
    from llmi2i_cli.stages.sft_disc import sft_disc

    manifest = sft_disc(
        workdir,
        base_model=base_model,
        negatives=negatives,
        negatives_per_positive=negatives_per_positive,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        max_length=max_length,
        seed=seed,
        deepspeed=deepspeed,
        attention=attention,
        template=template,
        checkpoint_steps=checkpoint_steps,
        resume=resume,
        force=force,
    )
    print_manifest(manifest, as_json)
