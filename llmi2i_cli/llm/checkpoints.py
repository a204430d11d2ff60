"""Where a training goes on after a kill: its checkpoints, and the log that has to say the same as they do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

COMPLETE = "complete"  # an empty file in a checkpoint that was written to the end


def start_from(directory: Path, log: Path, resume: bool) -> int:
    """The step of the checkpoint to go on from, 0 for none; whatever is of no use to this run is removed."""
    if not resume:
        shutil.rmtree(directory, ignore_errors=True)
    checkpoint = last_complete_checkpoint(directory)
    step = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    _truncate_log(log, step)
    return step


def last_complete_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint that was written to its end; those that a kill cut short are removed."""
    found = sorted(directory.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for path in found:
        if not (path / COMPLETE).exists():
            shutil.rmtree(path)
    return next((path for path in found if path.exists()), None)


def logged_figures(log: Path, step: int) -> dict[str, float]:
    """What the evaluation after `step` found, as logged."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    [found] = [entry for entry in entries if entry["step"] == step and "loss" not in entry]
    return {name: figure for name, figure in found.items() if name not in ("step", "epoch")}


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
