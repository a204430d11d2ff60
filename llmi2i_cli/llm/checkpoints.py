"""Where a training goes on after a kill: its checkpoints, and the log that has to say the same as they do."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_model
from torch import nn
from transformers.trainer import TRAINER_STATE_NAME

from llmi2i_cli.files.atomic import write_json
from llmi2i_cli.files.documents import parse_json, read_json
from llmi2i_cli.runs.manifests import describe, digests, file_digest
from llmi2i_cli.runs.progress import notice

COMPLETE = "complete.json"  # in a checkpoint that was written to the end: its files and their digests


def mark_complete(checkpoint: Path) -> None:
    """Say that a checkpoint was written to its end, and what it then held."""
    write_json(checkpoint / COMPLETE, digests(describe(checkpoint, checkpoint, {})))


def keep(directory: Path, steps: set[int]) -> None:
    """Remove the checkpoints but those of some steps."""
    for path in directory.glob("checkpoint-*"):
        if _step_of(path) not in steps:
            shutil.rmtree(path)


def start_from(directory: Path, log: Path, resume: bool) -> int:
    """The step of the checkpoint to go on from, 0 for none; whatever is of no use to this run is removed."""
    if not resume:
        shutil.rmtree(directory, ignore_errors=True)
    checkpoint = last_complete_checkpoint(directory)
    step = _step_of(checkpoint) if checkpoint else 0
    _truncate_log(log, step)
    return step


def last_complete_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint to go on from; those that a kill cut short, or that were damaged since, are removed.

    One whose best epoch so far is the checkpoint of another step needs that one, too.
    """
    whole: dict[int, Path] = {}
    for path in sorted(directory.glob("checkpoint-*"), key=_step_of):
        if _is_whole(path) and (_best_step(path) or _step_of(path)) in {*whole, _step_of(path)}:
            whole[_step_of(path)] = path
            continue
        if (path / COMPLETE).exists():
            notice(f"Warning: {path} is damaged: the training goes on from the one before it, or starts anew")
        shutil.rmtree(path)
    return whole[max(whole)] if whole else None


def _is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint holds what it held when it was complete."""
    try:
        held = read_json(checkpoint / COMPLETE)
        return isinstance(held, dict) and all(file_digest(checkpoint / name) == digest for name, digest in held.items())
    except (OSError, ValueError):
        return False


def _best_step(checkpoint: Path) -> int | None:
    """The step with the best figures up to a checkpoint, None without an evaluation."""
    step: int | None = read_json(checkpoint / TRAINER_STATE_NAME)["best_global_step"]
    return step


def load_weights(model: nn.Module, checkpoint: Path) -> None:
    """Put a checkpoint's weights into the model that it is of."""
    load_model(model, checkpoint / "model.safetensors")


def logged_figures(log: Path, step: int) -> dict[str, float]:
    """What the evaluation after `step` found, as logged."""
    entries = [parse_json(line) for line in log.read_text(encoding="utf-8").splitlines()]
    [found] = [entry for entry in entries if entry["step"] == step and "loss" not in entry]
    return {name: figure for name, figure in found.items() if name not in ("step", "epoch")}


def _truncate_log(log: Path, step: int) -> None:
    """Forget what was logged after the checkpoint at `step`: those steps are done again."""
    kept = []
    if log.exists() and step:
        for line in log.read_text(encoding="utf-8").splitlines():
            try:
                entry = parse_json(line)
            except ValueError:
                continue  # the line that the kill cut short
            if entry["step"] <= step:
                kept.append(line + "\n")
    shortened = log.with_name(f".{log.name}.tmp")
    shortened.write_text("".join(kept), encoding="utf-8")
    shortened.replace(log)


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
