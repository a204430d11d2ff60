"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.choices.options import LARGEST_SEED, SEED_HELP
from llmi2i_cli.llm import finetuning_options

WORKDIR = Path("work")

Workdir = Annotated[
    Path,
    typer.Option("--workdir", "-w", envvar="LLMI2I_WORKDIR", help="Directory of all artifacts.", file_okay=False),
]
Seed = Annotated[int, typer.Option(help=SEED_HELP, min=0, max=LARGEST_SEED)]
Force = Annotated[bool, typer.Option("--force", help="Run even if the result is up to date.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Plot = Annotated[bool, typer.Option("--plot", help="Draw the result beside it, as PNG and SVG (extra: plots).")]
I2IModel = Annotated[Literal[*MODELS], typer.Option(help="Item-to-item model.")]  # type: ignore[valid-type]
Data = Annotated[
    Literal["real", "fused"],
    typer.Option(help="Log that it is trained on: the real one, or with the LLM's interactions."),
]
EarlierTraining = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Continue from an earlier training instead: a work directory (yesterday's), or a checkpoint in one.",
        file_okay=False,
        resolve_path=True,
    ),
]
Epochs = Annotated[float | None, typer.Option(help="Passes over the users.", show_default="the base's")]
LearningRate = Annotated[
    float | None, typer.Option(help="Peak learning rate, which then decays linearly.", show_default="the base's", min=0)
]
BatchSize = Annotated[
    int | None, typer.Option(help="Users per step, over all processes.", show_default="the base's", min=1)
]
GradientAccumulation = Annotated[
    int, typer.Option(help="Parts that the users of a step are split into, to save memory.", min=1)
]
MaxLength = Annotated[
    int | None, typer.Option(help="Tokens per user; older items are left out.", show_default="the base's", min=4)
]
Lora = Annotated[
    int | None,
    typer.Option(
        help="Rank of LoRA matrices to train instead of the base's weights; merged when saved (extra: lora).",
        show_default="train all weights",
        min=1,
    ),
]
LoraAlpha = Annotated[
    float | None, typer.Option(help="What these matrices learn counts alpha / rank.", show_default="twice the rank")
]
DeepSpeed = Annotated[
    Path | None, typer.Option(help="DeepSpeed configuration (JSON), or zero2 for llmi2i's own.", dir_okay=False)
]
Attention = Annotated[
    finetuning_options.Attention,
    typer.Option(help="Attention kernel; auto takes flash_attention_2 where there is flash-attn and a CUDA device."),
]
Prompt = Annotated[
    finetuning_options.PromptStyle | None,
    typer.Option(
        help="Text in the prompt: an instruction and titles behind item tokens, an instruction alone, or nothing.",
        show_default="titles, for a preset bare",
    ),
]
ChatTemplate = Annotated[
    finetuning_options.ChatTemplate, typer.Option(help="Address a base that has a chat template through it, or not.")
]
Template = Annotated[
    Path | None,
    typer.Option(help="Text file with {profile} and {history} that replaces the instruction.", dir_okay=False),
]
CheckpointSteps = Annotated[int, typer.Option(help="Steps between checkpoints; 0: one per epoch.", min=0)]
Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Continue from the last checkpoint of a killed run.")
]
Shards = Annotated[int, typer.Option(help="Shards that the users are divided into; each may run anywhere.", min=1)]
Shard = Annotated[int, typer.Option(help="Which of the shards this run does, from 1.", min=1)]

Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|local",
        help="Share the work out on a Ray cluster, or on one of this machine's processors (extra: ray).",
    ),
]


def recent_option(value: str) -> int | None:
    """`--recent M|auto`; None is auto."""
    if value == "auto":
        return None
    if not value.isdecimal() or int(value) == 0:
        raise typer.BadParameter(f"--recent is a whole number from 1, or auto, not {value!r}")
    return int(value)


def decay_option(value: str) -> float | None:
    """`--decay D|auto`; None is auto."""
    if value == "auto":
        return None
    try:
        decay = float(value)
    except ValueError:
        decay = 0.0
    if not 0 < decay <= 1:
        raise typer.BadParameter(f"--decay is a number above 0 and at most 1, or auto, not {value!r}")
    return decay
