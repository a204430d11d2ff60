"""Where a training goes on after a kill: its checkpoints, and the log that has to say the same as they do."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_model
from torch import nn

from llmi2i_cli.files.documents import parse_json

COMPLETE = "complete"  # an empty file in a checkpoint that was written to the end


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
    """The newest checkpoint that was written to its end; those that a kill cut short are removed."""
    found = sorted(directory.glob("checkpoint-*"), key=_step_of, reverse=True)
    for path in found:
        if not (path / COMPLETE).exists():
            shutil.rmtree(path)
    return next((path for path in found if path.exists()), None)


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
