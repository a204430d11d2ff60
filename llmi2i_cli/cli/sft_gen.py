"""The command `llmi2i sft-gen`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmi2i_cli.cli.options import (
    WORKDIR,
    AsJson,
    Attention,
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
from llmi2i_cli.cli.printing_memory import print_memory
from llmi2i_cli.llm.finetuning_options import DEFAULT_BASE, GeneratorOptions, Softmax


def sft_gen(
    workdir: Workdir = WORKDIR,
    base_model: Annotated[
        str | None,
        typer.Option(
            help="Base: a preset (llama-tiny, llama-small, llama-base), a local directory or a hub id.",
            show_default=DEFAULT_BASE,
        ),
    ] = GeneratorOptions.base_model,
    alpha: Annotated[
        float, typer.Option(help="Loss weight of a long-tail target, eq. (2).", min=0)
    ] = GeneratorOptions.alpha,
    beta: Annotated[float, typer.Option(help="Loss weight of any other target.", min=0)] = GeneratorOptions.beta,
    earlier: EarlierTraining = GeneratorOptions.earlier,
    epochs: Epochs = GeneratorOptions.epochs,
    learning_rate: LearningRate = GeneratorOptions.learning_rate,
    batch_size: BatchSize = GeneratorOptions.batch_size,
    gradient_accumulation: GradientAccumulation = GeneratorOptions.gradient_accumulation,
    max_length: MaxLength = GeneratorOptions.max_length,
    seed: Seed = GeneratorOptions.seed,
    lora: Lora = GeneratorOptions.lora,
    lora_alpha: LoraAlpha = GeneratorOptions.lora_alpha,
    deepspeed: DeepSpeed = GeneratorOptions.deepspeed,
    attention: Attention = GeneratorOptions.attention,
    prompt: Prompt = GeneratorOptions.prompt,
    chat_template: ChatTemplate = GeneratorOptions.chat_template,
    template: Template = GeneratorOptions.template,
    checkpoint_steps: CheckpointSteps = GeneratorOptions.checkpoint_steps,
    word_vectors: Annotated[
        Path | None,
        typer.Option(help="Text file (word2vec, GloVe) of vectors that a preset's words start from.", dir_okay=False),
    ] = GeneratorOptions.word_vectors,
    patience: Annotated[
        int, typer.Option(help="Epochs without a better validation figure before training ends; 0: all epochs.", min=0)
    ] = GeneratorOptions.patience,
    stop_after: Annotated[
        float | None,
        typer.Option(help="Epochs after which training ends, on the schedule of all --epochs.", show_default="all"),
    ] = GeneratorOptions.stop_after,
    softmax: Annotated[
        Softmax,
        typer.Option(help="Items that a target is compared with: all, or a sample; auto samples above 1,000,000."),
    ] = GeneratorOptions.softmax,
    sampled_items: Annotated[
        int, typer.Option(help="Items that a sampled softmax draws per step.", min=1)
    ] = GeneratorOptions.sampled_items,
    resume: Resume = True,
    examples_only: Annotated[
        bool, typer.Option("--examples-only", help="Train nothing; write examples.jsonl for other trainers.")
    ] = False,
    estimate: Annotated[
        int | None,
        typer.Option(
            help="Train nothing; print the GB that training takes in each of so many processes (GPUs).",
            min=1,
            show_default=False,
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the generator on the users' histories.

    Example: llmi2i sft-gen -w work --base-model llama-tiny --alpha 4
    """
    from llmi2i_cli.stages.sft_gen import sft_gen, training_memory

    options = GeneratorOptions(
        base_model=base_model,
        earlier=earlier,
        alpha=alpha,
        beta=beta,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        max_length=max_length,
        seed=seed,
        lora=lora,
        lora_alpha=lora_alpha,
        deepspeed=deepspeed,
        attention=attention,
        word_vectors=word_vectors,
        prompt=prompt,
        chat_template=chat_template,
        template=template,
        checkpoint_steps=checkpoint_steps,
        patience=patience,
        stop_after=stop_after,
        softmax=softmax,
        sampled_items=sampled_items,
    )
    if estimate:
        print_memory(training_memory(workdir, options, estimate), as_json)
        return
    manifest = sft_gen(workdir, options, resume=resume, examples_only=examples_only, force=force)
    print_manifest(manifest, as_json)
