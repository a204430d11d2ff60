"""Where a training writes, and what becomes of an earlier one that was killed there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def _untold(done: int, total: int, text: str) -> None:
    """Nobody watches the training."""


@dataclass(frozen=True)
class TrainingPlace:
    """A folder of one training alone; the same training, begun again there, goes on where it was killed.

    Attributes
    ----------
    folder : exists
    resume : whether it goes on from the last complete checkpoint; else it begins anew
    on_step : called with steps done, steps in all, and a text with the loss
    """

    folder: Path
    resume: bool = True
    on_step: Callable[[int, int, str], None] = _untold

    @property
    def checkpoints(self) -> Path:
        """Directory of the Trainer's own checkpoints."""
        return self.folder / "checkpoints"

    @property
    def log(self) -> Path:
        """JSON lines: one every few steps (step, epoch, loss, learning_rate, gradient_norm), one an evaluation."""
        return self.folder / "log.jsonl"

    @property
    def model(self) -> Path:
        """Directory of what comes of it: a Hugging Face checkpoint."""
        return self.folder / "model"
