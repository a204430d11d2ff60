"""Fine-tuning with transformers' Trainer: checkpoints, resume, torchrun, DeepSpeed are its; loss and batches are ours.

A batch is a number of *users*. Their sequences are packed into rows by the collator, so packing never decides who
shares a step. The same seed gives the same weights, also through any number of kills and resumes. Several processes
take the same steps as one: each works on its share of every batch, and the loss is the mean over all its targets.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import logging as transformers_logging

from llmi2i_cli.errors import ArtifactError, Llmi2iError, ModelError, UsageError
from llmi2i_cli.llm.batches import Batches, Collator, Examples, Indices, Shares
from llmi2i_cli.llm.checkpoints import keep, load_weights, logged_figures, mark_complete, start_from
from llmi2i_cli.llm.deepspeed_config import deepspeed_config
from llmi2i_cli.llm.item_model import ItemModel
from llmi2i_cli.llm.training_options import TrainingOptions
from llmi2i_cli.llm.training_place import TrainingPlace
from llmi2i_cli.runs.processes import from_first, is_first, rank, world_size
from llmi2i_cli.runs.progress import notice


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


class _Arguments(TrainingArguments):
    @property
    def n_gpu(self) -> int:
        """One a process: nn.DataParallel, the Trainer's way with several, cannot split packed rows."""
        return min(1, super().n_gpu)


class _Trainer(Trainer):
    """The Trainer with batches and an evaluation of our own: a function that gives figures of the model as it is."""

    def __init__(self, *, shares: Shares, judge: Callable[[], Mapping[str, float]] | None, **options: Any) -> None:
        super().__init__(**options)
        self.shares, self.judge = shares, judge

    def get_train_dataloader(self) -> DataLoader[int]:
        return Batches(
            self.train_dataset,
            batch_sampler=self.shares,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        assert self.judge is not None  # else the arguments say that nothing is evaluated
        self.model.eval()
        n_threads = torch.get_num_threads()
        figures = {f"eval_{name}": figure for name, figure in from_first(self.judge).items()}
        torch.set_num_threads(n_threads)  # Numba's kernels leave theirs, which a run that is resumed here has not met
        self.model.train()
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return figures


class _Watch(TrainerCallback):
    """Progress, the log file, marks on complete checkpoints, and an early end when the loss is not a number."""

    def __init__(self, options: TrainingOptions, place: TrainingPlace) -> None:
        self.options, self.place = options, place
        self.text = ""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.options.checkpoint_steps and state.global_step % self.options.checkpoint_steps == 0:
            control.should_save = True
        # All of a step is logged before it is saved: weights that are no numbers are never saved, and a run that is
        # killed and resumed logs the same lines.
        control.should_log |= control.should_save
        self.place.on_step(state.global_step, state.max_steps, self.text)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict[str, float], **_: Any
    ) -> None:
        self._write(state, **{name.removeprefix("eval_"): figure for name, figure in metrics.items()})

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        loss = logs.get("loss")
        if loss is None:
            return
        if not np.isfinite(loss) or not np.isfinite(logs.get("grad_norm", 0.0)):
            raise ModelError(
                f"the training broke down by step {state.global_step} (loss {loss}, gradient norm "
                f"{logs.get('grad_norm')}): lower --learning-rate and run again; the last checkpoint is kept"
            )
        self.text = f"loss {loss:.3f}"
        self._write(state, loss=loss, learning_rate=logs["learning_rate"], gradient_norm=logs.get("grad_norm"))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        PartialState().wait_for_everyone()  # each has files of its own in it
        if state.is_world_process_zero:
            directory = Path(str(args.output_dir))
            mark_complete(directory / f"checkpoint-{state.global_step}")
            keep(directory, {state.global_step, state.best_global_step or state.global_step})
        control.should_training_stop |= self.options.ends_at(state)

    def _write(self, state: TrainerState, **entry: Any) -> None:
        if not state.is_world_process_zero:
            return
        with self.place.log.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({"step": state.global_step, "epoch": round(state.epoch or 0, 4), **entry}) + "\n")


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """stdout is for results: what libraries say goes to stderr, without what is of no use to who runs a stage."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # DeepSpeed, once installed, would warn that it looked for more
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


@_hushed()
def fine_tune(
    model: ItemModel,
    examples: Examples,
    options: TrainingOptions,
    place: TrainingPlace,
    *,
    pad_token: int,
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> Outcome:
    """Train `model` in place, going on from the last complete checkpoint of the `place`.

    With `evaluate` the weights are those of the best epoch by ``options.best_by``, else of the last.

    Parameters
    ----------
    evaluate : called at the end of each epoch, in evaluation mode; its figures are logged

    Raises
    ------
    ArtifactError : there are no examples
    ModelError : the loss is no number, or memory ran out
    UsageError : the batch cannot be split evenly
    """
    if not len(examples):
        raise ArtifactError("no user of prepare/ has interactions enough to learn from: run `llmi2i prepare` on more")
    part_size, left_over = divmod(options.batch_size, options.gradient_accumulation)
    if left_over:
        raise UsageError(
            f"--batch-size {options.batch_size} cannot be split over {options.gradient_accumulation} accumulation "
            "steps: choose a multiple"
        )
    steps_per_epoch = -(-len(examples) // options.batch_size)
    on_gpu = torch.cuda.is_available()
    best_by = options.best_by if evaluate else None
    os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)  # a training before this one may have left it behind
    arguments = _Arguments(
        output_dir=str(place.checkpoints),
        num_train_epochs=options.epochs,
        learning_rate=options.learning_rate,
        per_device_train_batch_size=-(-part_size // world_size()),
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
        eval_strategy="steps" if evaluate else "no",
        eval_steps=steps_per_epoch,
        metric_for_best_model=best_by,
        greater_is_better=True,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=not on_gpu,
        bf16=on_gpu,
        deepspeed=deepspeed_config(options.deepspeed) if options.deepspeed else None,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
    )
    if world_size() == 1 and torch.cuda.device_count() > 1:
        notice(f"one of {torch.cuda.device_count()} GPUs is used: torchrun uses them all (see examples/docs/gpus.md)")
    trainer = _Trainer(
        model=model,
        args=arguments,
        shares=Shares(len(examples), part_size, options.seed, rank=rank(), world_size=world_size()),
        judge=evaluate,
        train_dataset=Indices(len(examples)),
        eval_dataset=Indices(0),  # the Trainer asks for one; `judge` has its own
        data_collator=Collator(examples, pad_token),
        callbacks=[_Watch(options, place)],
    )
    trainer.remove_callback(_printer())
    done_before = from_first(lambda: start_from(place.checkpoints, place.log, place.resume))
    checkpoint = place.checkpoints / f"checkpoint-{done_before}" if done_before else None
    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME)) if checkpoint else None
    if state is None or not options.ends_at(state):
        if not is_first():
            torch.manual_seed(options.seed + rank())  # each process drops out by itself
        model.train()
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except Exception as error:
            if (known := _explained(error, options)) is not None:
                raise known from error
            raise
        state = trainer.state
    trainer.accelerator.free_memory()  # of what there is for training alone: another model may be trained next
    model.float().eval()  # DeepSpeed may have made it bfloat16
    model.decoder_dtype = None  # from here on it is asked as it will be saved
    chosen_step = (best_by and state.best_global_step) or state.global_step
    if chosen_step != trainer.state.global_step:
        load_weights(model, place.checkpoints / f"checkpoint-{chosen_step}")
    return Outcome(
        steps_this_run=state.global_step - done_before,
        chosen_epoch=round(chosen_step / steps_per_epoch, 4),
        figures=from_first(lambda: logged_figures(place.log, chosen_step)) if evaluate else {},
    )


def _explained(error: Exception, options: TrainingOptions) -> Llmi2iError | None:
    """What a user can do about an error of the training, as far as it is known."""
    text = " ".join(str(error).split())
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text:
        return ModelError(
            "out of memory: lower --batch-size (or raise --gradient-accumulation), or lower --max-length; "
            "the last checkpoint is kept"
        )
    if "DeepSpeed config values" in text:
        return UsageError(f"{options.deepspeed}: {text}")
    if "DP world size" in text:
        return UsageError(
            "the last checkpoint was written by another number of processes, and DeepSpeed's cannot be shared out "
            "anew: start as many as before, or use --no-resume"
        )
    if "JIT load" in text or "failed to build" in text:
        return ModelError(
            f"{options.deepspeed} asks for a part of DeepSpeed that has to be compiled ({text[:100]}): "
            "install ninja and a C++ compiler (CUDA's on a GPU), or use --deepspeed zero2, which compiles nothing"
        )
    return None


def _printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback
