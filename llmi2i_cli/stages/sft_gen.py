"""`llmi2i sft-gen`: fine-tune the generator on the users' train histories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmi2i_cli.errors import UsageError
from llmi2i_cli.progress import notice, progress_bar
from llmi2i_cli.workdir import stage_run


def sft_gen(
    workdir: Path,
    *,
    base_model: str = "llama-tiny",
    alpha: float = 4.0,
    beta: float = 1.0,
    epochs: float | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    gradient_accumulation: int = 1,
    max_length: int | None = None,
    seed: int = 42,
    deepspeed: Path | None = None,
    attention: str = "auto",
    template: Path | None = None,
    checkpoint_steps: int = 0,
    resume: bool = True,
    examples_only: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Train on ``prepare/`` and write ``sft-gen/model/`` and ``sft-gen/log.jsonl``; returns the manifest.

    With `examples_only` nothing is trained: ``sft-gen/examples.jsonl`` gets the examples for other trainers.
    The long tail of the loss weights is `is_train_tail`: it is counted on train alone.
    """
    for name, value in (("--alpha", alpha), ("--beta", beta)):
        if value < 0:
            raise UsageError(f"{name} is a weight and cannot be negative: {value}")
    if alpha == beta == 0:
        raise UsageError("--alpha and --beta are both 0: nothing would be learnt")
    from llmi2i_cli.llm.generator_options import GeneratorOptions, check_positive

    check_positive(epochs=epochs, learning_rate=learning_rate)

    options = GeneratorOptions(
        base_model=base_model,
        alpha=alpha,
        beta=beta,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_length=max_length,
        seed=seed,
        attention=attention,
        gradient_accumulation=gradient_accumulation,
        deepspeed=deepspeed,
        template=template,
        checkpoint_steps=checkpoint_steps,
    )
    name = "sft-gen --examples-only" if examples_only else "sft-gen"
    files = [path for path in (template, deepspeed, _local(base_model)) if path is not None]
    decides = {key: value for key, value in vars(options).items() if key != "checkpoint_steps"}
    with stage_run(workdir, name, options=decides, files=files, force=force) as run:
        if run.up_to_date and run.manifest:
            notice(f"{name} is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.artifacts import has_split, read_catalogue, read_histories, read_profiles
        from llmi2i_cli.llm.generator_training import train_generator, write_examples

        catalogue, histories, profiles = read_catalogue(workdir), read_histories(workdir), read_profiles(workdir)
        if examples_only:
            written = write_examples(options, catalogue, profiles, histories, run.output("examples.jsonl"))
            return run.publish(rows={"examples.jsonl": written})
        validation = read_histories(workdir, ("valid",)) if has_split(workdir, "valid") else None
        with progress_bar("Training the generator") as bar:
            facts = train_generator(
                options,
                catalogue,
                profiles,
                histories,
                validation,
                partial=run.partial / "checkpoints",
                output=run.output("model"),
                log=run.output("log.jsonl"),
                resume=resume,
                on_step=bar.update,
            )
        return run.publish(**facts)


def _local(base_model: str) -> Path | None:
    """The base's directory, where it is one: its contents are then an input of the stage."""
    path = Path(base_model)
    return path if path.is_dir() else None
