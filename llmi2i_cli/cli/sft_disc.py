"""The command `llmi2i sft-disc`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmi2i_cli.cli.options import (
    WORKDIR,
    AsJson,
    BatchSize,
    ChatTemplate,
    CheckpointSteps,
    DeepSpeed,
    EarlierTraining,
    Epochs,
    Force,
    GradientAccumulation,
    LearningRate,
    Lora,
    LoraAlpha,
    MaxLength,
    Prompt,
    Resume,
    Seed,
    Template,
    Workdir,
)
from llmi2i_cli.cli.printing import print_manifest
from llmi2i_cli.llm.finetuning_options import DiscriminatorOptions, Negatives


def sft_disc(
    workdir: Workdir = WORKDIR,
    base_model: Annotated[
        str | None,
        typer.Option(help="Base, as in sft-gen.", show_default="a generator that has not seen the judged interactions"),
    ] = DiscriminatorOptions.base_model,
    negatives: Annotated[
        Negatives,
        typer.Option(help="Where the No examples come from; generator: lists of one trained without the last items."),
    ] = DiscriminatorOptions.negatives,
    negatives_per_positive: Annotated[
        int, typer.Option(help="No examples for each Yes.", min=1)
    ] = DiscriminatorOptions.negatives_per_positive,
    calibration: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Slope and intercept of the log-odds.", show_default="fitted on validation"),
    ] = DiscriminatorOptions.calibration,
    earlier: EarlierTraining = DiscriminatorOptions.earlier,
    epochs: Epochs = DiscriminatorOptions.epochs,
    learning_rate: LearningRate = DiscriminatorOptions.learning_rate,
    batch_size: BatchSize = DiscriminatorOptions.batch_size,
    gradient_accumulation: GradientAccumulation = DiscriminatorOptions.gradient_accumulation,
    max_length: MaxLength = DiscriminatorOptions.max_length,
    seed: Seed = DiscriminatorOptions.seed,
    lora: Lora = DiscriminatorOptions.lora,
    lora_alpha: LoraAlpha = DiscriminatorOptions.lora_alpha,
    deepspeed: DeepSpeed = DiscriminatorOptions.deepspeed,
    prompt: Prompt = DiscriminatorOptions.prompt,
    chat_template: ChatTemplate = DiscriminatorOptions.chat_template,
    template: Template = DiscriminatorOptions.template,
    checkpoint_steps: CheckpointSteps = DiscriminatorOptions.checkpoint_steps,
    resume: Resume = True,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the discriminator to answer Yes or No to a candidate.

    Example: llmi2i sft-disc -w work --negatives generator
    """
    from llmi2i_cli.stages.sft_disc import sft_disc

    options = DiscriminatorOptions(
        base_model=base_model,
        earlier=earlier,
        negatives=negatives,
        negatives_per_positive=negatives_per_positive,
        calibration=calibration,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        max_length=max_length,
        seed=seed,
        lora=lora,
        lora_alpha=lora_alpha,
        deepspeed=deepspeed,
        prompt=prompt,
        chat_template=chat_template,
        template=template,
        checkpoint_steps=checkpoint_steps,
    )
    manifest = sft_disc(workdir, options, resume=resume, force=force)
    print_manifest(manifest, as_json)
