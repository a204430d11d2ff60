"""Fine-tuning with transformers' Trainer: checkpoints, resume, torchrun, DeepSpeed are its; loss and batches are ours.

A batch is a number of *users*. Their sequences are packed into rows by the collator, so packing never decides who
shares a step. On one process the same seed gives the same weights, also through any number of kills and resumes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import logging as transformers_logging

from llmi2i_cli.errors import ArtifactError, ModelError, UsageError
from llmi2i_cli.llm.item_model import ItemModel
from llmi2i_cli.llm.packing import TokenSequence, pack

COMPLETE = "complete"  # an empty file in a checkpoint that was written to the end


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. `batch_size` counts users a step over all processes and accumulation steps."""

    epochs: float
    learning_rate: float
    batch_size: int
    weight_decay: float
    warmup_share: float
    seed: int
    gradient_accumulation: int = 1
    deepspeed: Path | None = None
    checkpoint_steps: int = 0  # 0: once an epoch
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


@dataclass(frozen=True)
class Outcome:
    """How a training went.

    Attributes
    ----------
    steps_this_run : steps that this call did itself
    chosen_epoch : the epoch whose weights were kept
    figures : of the evaluation at that epoch; none without one
    """

    steps_this_run: int
    chosen_epoch: float
    figures: Mapping[str, float]


class Examples(Protocol):
    """Training data: one example a user. `sequence` may depend on nothing but `index` (and the epoch's own seed)."""

    def __len__(self) -> int: ...

    def sequence(self, index: int) -> tuple[TokenSequence, NDArray[np.integer[Any]], NDArray[np.floating[Any]]]:
        """Tokens, labels and weights of one example; a label and a weight for each output of the sequence."""
        ...


class _Indices(Dataset[int]):
    """The Trainer's data set: only numbers; the collator builds the batch."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        return index


class _Collator:
    def __init__(self, examples: Examples, pad_token: int) -> None:
        self.examples, self.pad_token = examples, pad_token

    def __call__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        sequences, labels, weights = zip(*(self.examples.sequence(index) for index in indices), strict=True)
        rows = pack(sequences, self.pad_token)
        joined = torch.from_numpy(np.concatenate(labels).astype(np.int64))
        return {
            **vars(rows),
            "labels": joined,
            "shift_labels": joined,  # tells the Trainer that these are already the targets, for its count of them
            "weights": torch.from_numpy(np.concatenate(weights).astype(np.float32)),
        }


class _Trainer(Trainer):
    """The Trainer with an evaluation of our own: a function that gives figures of the model as it is."""

    def __init__(self, *args: Any, judge: Callable[[], Mapping[str, float]] | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.judge = judge

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        assert self.judge is not None  # else the arguments say that nothing is evaluated
        self.model.eval()
        figures = {f"eval_{name}": figure for name, figure in self.judge().items()}
        self.model.train()
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return figures


class _Watch(TrainerCallback):
    """Progress, the log file, marks on complete checkpoints, and an early end when the loss is no number."""

    def __init__(self, log: Path, options: TrainingOptions, on_step: Callable[[int, int, str], None]) -> None:
        self.log, self.options, self.on_step = log, options, on_step
        self.text = ""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.options.checkpoint_steps and state.global_step % self.options.checkpoint_steps == 0:
            control.should_save = True
        # All of a step is logged before it is saved: weights that are no numbers are never saved, and a run that is
        # killed and resumed logs the same lines.
        control.should_log |= control.should_save
        self.on_step(state.global_step, state.max_steps, self.text)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict[str, float], **_: Any
    ) -> None:
        if state.is_world_process_zero:
            self._write(state, **{name.removeprefix("eval_"): figure for name, figure in metrics.items()})

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        loss = logs.get("loss")
        if loss is None or not state.is_world_process_zero:
            return
        if not np.isfinite(loss) or not np.isfinite(logs.get("grad_norm", 0.0)):
            raise ModelError(
                f"the training broke down by step {state.global_step} (loss {loss}, gradient norm "
                f"{logs.get('grad_norm')}): lower --learning-rate and run again; the last checkpoint is kept"
            )
        self.text = f"loss {loss:.3f}"
        self._write(state, loss=loss, learning_rate=logs["learning_rate"], gradient_norm=logs.get("grad_norm"))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            (Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
        control.should_training_stop |= self.options.ends_at(state)

    def _write(self, state: TrainerState, **entry: Any) -> None:
        with self.log.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({"step": state.global_step, "epoch": round(state.epoch or 0, 4), **entry}) + "\n")


def fine_tune(
    model: ItemModel,
    examples: Examples,
    options: TrainingOptions,
    *,
    directory: Path,
    log: Path,
    pad_token: int,
    resume: bool = True,
    on_step: Callable[[int, int, str], None] = lambda done, total, text: None,
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> Outcome:
    """Train `model` in place, going on from the last complete checkpoint in `directory`.

    With `evaluate` the weights are those of the best epoch by ``options.best_by``, else of the last.

    Parameters
    ----------
    directory : of the checkpoints
    log : JSONL, one line every few steps (step, epoch, loss, learning_rate, gradient_norm) and one an epoch for
        `evaluate`
    on_step : called with steps done, steps in all and a text with the loss
    evaluate : called at the end of each epoch, in evaluation mode; its figures are logged

    Raises
    ------
    ArtifactError : there are no examples
    ModelError : the loss is no number, or memory ran out
    UsageError : the batch cannot be split evenly
    """
    if not len(examples):
        raise ArtifactError("no user of prepare/ has interactions enough to learn from: run `llmi2i prepare` on more")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    share = options.batch_size // (world * options.gradient_accumulation)
    if share < 1 or share * world * options.gradient_accumulation != options.batch_size:
        raise UsageError(
            f"--batch-size {options.batch_size} cannot be split over {world} processes "
            f"and {options.gradient_accumulation} accumulation steps: choose a multiple of their product"
        )
    steps_per_epoch = -(-len(examples) // options.batch_size)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    on_gpu = torch.cuda.is_available()
    best_by = options.best_by if evaluate else None
    arguments = TrainingArguments(
        output_dir=str(directory),
        num_train_epochs=options.epochs,
        learning_rate=options.learning_rate,
        per_device_train_batch_size=share,
        gradient_accumulation_steps=options.gradient_accumulation,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup_share,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        optim="adamw_torch",
        seed=options.seed,
        data_seed=options.seed,
        logging_steps=max(1, min(50, steps_per_epoch // 4)),
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=steps_per_epoch,
        save_total_limit=3,  # the best, the last, and the one before it until the last is complete
        eval_strategy="steps" if evaluate else "no",
        eval_steps=steps_per_epoch,
        metric_for_best_model=best_by,
        greater_is_better=True,
        load_best_model_at_end=best_by is not None,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=not on_gpu,
        bf16=on_gpu,
        deepspeed=str(options.deepspeed) if options.deepspeed else None,
        ddp_find_unused_parameters=False,
    )
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=_Indices(len(examples)),
        eval_dataset=_Indices(0),  # the Trainer asks for one; `judge` has its own
        data_collator=_Collator(examples, pad_token),
        callbacks=[_Watch(log, options, on_step)],
        judge=evaluate,
    )
    trainer.remove_callback(_printer())
    if not resume:
        shutil.rmtree(directory, ignore_errors=True)
    checkpoint = last_complete_checkpoint(directory)
    done_before = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    _truncate_log(log, done_before)
    if checkpoint and options.ends_at(TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))):
        arguments.max_steps = done_before  # it was killed after its end
    model.train()
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
            raise ModelError(
                "out of memory: lower --batch-size (or raise --gradient-accumulation), or lower --max-length; "
                "the last checkpoint is kept"
            ) from error
        raise
    model.eval()
    state = trainer.state
    chosen_step = state.best_global_step if best_by else state.global_step
    return Outcome(
        steps_this_run=state.global_step - done_before,
        chosen_epoch=round(chosen_step / steps_per_epoch, 4),
        figures=_logged_figures(log, chosen_step) if evaluate else {},
    )


def last_complete_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint that was written to its end; those that a kill cut short are removed."""
    found = sorted(directory.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for path in found:
        if not (path / COMPLETE).exists():
            shutil.rmtree(path)
    return next((path for path in found if path.exists()), None)


def _truncate_log(log: Path, step: int) -> None:
    """Forget what was logged after the checkpoint at `step`: those steps are done again."""
    kept = []
    if log.exists() and step:
        for line in log.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the line that the kill cut short
            if entry["step"] <= step:
                kept.append(line + "\n")
    log.write_text("".join(kept), encoding="utf-8")


def _logged_figures(log: Path, step: int) -> dict[str, float]:
    """What the evaluation after `step` found, as logged."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    [found] = [entry for entry in entries if entry["step"] == step and "loss" not in entry]
    return {name: figure for name, figure in found.items() if name not in ("step", "epoch")}


def _printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback
