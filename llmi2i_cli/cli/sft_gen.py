"""The command `llmi2i sft-gen`."""

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


def sft_gen(
    workdir: Workdir = WORKDIR,
    base_model: Annotated[
        str, typer.Option(help="Base: a preset (llama-tiny, llama-small, llama-base), a local directory or a hub id.")
    ] = "llama-tiny",
    alpha: Annotated[float, typer.Option(help="Loss weight of a long-tail target, eq. (2).", min=0)] = 4.0,
    beta: Annotated[float, typer.Option(help="Loss weight of any other target.", min=0)] = 1.0,
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
    patience: Annotated[
        int, typer.Option(help="Epochs without a better validation figure before it ends; 0: all epochs.", min=0)
    ] = 0,
    softmax: Annotated[
        Literal["auto", "full", "sampled"],
        typer.Option(help="Items a target is compared with: all, or a sample; auto samples above 1,000,000 items."),
    ] = "auto",
    sampled_items: Annotated[int, typer.Option(help="Items drawn a step by a sampled softmax.", min=1)] = 8192,
    resume: Resume = True,
    examples_only: Annotated[
        bool, typer.Option("--examples-only", help="Train nothing; write examples.jsonl for other trainers.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the generator on the users' histories.

    Example: llmi2i sft-gen -w work --base-model llama-tiny --alpha 4
    """
    from llmi2i_cli.stages.sft_gen import sft_gen

    manifest = sft_gen(
        workdir,
        base_model=base_model,
        alpha=alpha,
        beta=beta,
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
        patience=patience,
        softmax=softmax,
        sampled_items=sampled_items,
        resume=resume,
        examples_only=examples_only,
        force=force,
    )
    print_manifest(manifest, as_json)
