"""Training YoutubeDNN: its loss over every next item, the epoch that validation prefers, and its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.model_options import YoutubeDnnOptions
from llmi2i_cli.choices.options import as_given
from llmi2i_cli.errors import ModelError
from llmi2i_cli.files.atomic import replacing
from llmi2i_cli.i2i.sampled_softmax import sampled_softmax_loss
from llmi2i_cli.i2i.training import Job, Trained, Validation
from llmi2i_cli.i2i.youtube_dnn import Towers, YoutubeDNN, one_thread, windows_of


def train(job: Job, options: YoutubeDnnOptions) -> Trained:
    """The row of `choices.models`."""
    model = train_youtube_dnn(
        job.histories,
        validation=job.validation,
        checkpoint=job.checkpoint,
        on_progress=job.tell,
        **as_given(options),
    )
    return Trained(model.neighbours(top_k=job.top_k, search=job.search), model)


def train_youtube_dnn(
    histories: Histories,
    *,
    validation: Validation | None,
    dimensions: int = YoutubeDnnOptions.dimensions,
    negatives: int = YoutubeDnnOptions.negatives,
    recent: int = 20,
    learning_rate: float = YoutubeDnnOptions.learning_rate,
    weight_decay: float = YoutubeDnnOptions.weight_decay,
    batch_size: int = YoutubeDnnOptions.batch_size,
    epochs: int = YoutubeDnnOptions.epochs,
    patience: int = YoutubeDnnOptions.patience,
    seed: int = YoutubeDnnOptions.seed,
    checkpoint: Path | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> YoutubeDNN:
    """Train on every next item of every user; keep the epoch of the best validation Recall@10.

    Users' embeddings are updated when the user is in the batch (Adam's sparse form, without weight decay), everything
    else by Adam: an epoch then costs the interactions, and not the number of users times that of batches.

    Parameters
    ----------
    histories : oldest first; weights scale the loss of an interaction as a target
    validation : None trains all `epochs`
    patience : epochs without a better validation figure before it stops
    checkpoint : file in which each epoch's end is kept; training goes on from there
    on_progress : called with (epochs done, epochs at most, text)

    Raises
    ------
    ModelError : the loss is not finite
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    towers = Towers(histories.n_users, histories.n_items, dimensions)
    model = YoutubeDNN(towers, histories.item_counts() > 0, recent)
    shared = [parameter for name, parameter in towers.named_parameters() if not name.startswith("users.")]
    optimizers = (
        torch.optim.Adam(shared, lr=learning_rate, weight_decay=weight_decay, fused=True),
        torch.optim.SparseAdam(list(towers.users.parameters()), lr=learning_rate),
    )
    user_of_each = histories.user_of_each()
    positions = np.flatnonzero(np.arange(len(histories.items)) > histories.ptr[user_of_each])  # all but a user's first
    epoch, best_state = _resume(checkpoint, model, optimizers, rng) if checkpoint else (0, None)
    while epoch < epochs and len(positions) and not _stagnates(model.recall_by_epoch, patience):
        order = rng.permutation(positions)
        losses = []
        with one_thread():
            for start in range(0, len(order), batch_size):
                loss = _loss(towers, histories, user_of_each, order[start : start + batch_size], negatives, recent, rng)
                loss.backward()
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                losses.append(loss.item())
        epoch += 1
        text = f"loss {np.mean(losses):.3f}"
        if not np.isfinite(losses).all():
            raise ModelError(f"YoutubeDNN's loss was not finite in epoch {epoch}: lower --learning-rate")
        if validation is not None:
            model.recall_by_epoch.append(_recall_at_10(model, validation))
            text += f", validation Recall@10 {model.recall_by_epoch[-1]:.4f}"
            if np.argmax(model.recall_by_epoch) == epoch - 1:
                best_state = {name: tensor.clone() for name, tensor in towers.state_dict().items()}
        if checkpoint:
            _save(checkpoint, epoch, model, best_state, optimizers, rng)
        if on_progress:
            on_progress(epoch, epochs, text)
    if best_state is not None:
        towers.load_state_dict(best_state)
    return model


def _stagnates(recalls: list[float], patience: int) -> bool:
    """Whether the last `patience` epochs brought nothing better."""
    return bool(recalls) and len(recalls) - 1 - int(np.argmax(recalls)) >= patience


def _save(
    checkpoint: Path,
    epoch: int,
    model: YoutubeDNN,
    best_state: dict[str, Tensor] | None,
    optimizers: Sequence[torch.optim.Optimizer],
    rng: np.random.Generator,
) -> None:
    state = {
        "epoch": epoch,
        "towers": model.towers.state_dict(),
        "best_state": best_state,
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "recall_by_epoch": model.recall_by_epoch,
        "rng": json.dumps(rng.bit_generator.state),
    }
    with replacing(checkpoint) as temporary:
        torch.save(state, temporary)


def _resume(
    checkpoint: Path, model: YoutubeDNN, optimizers: Sequence[torch.optim.Optimizer], rng: np.random.Generator
) -> tuple[int, dict[str, Tensor] | None]:
    """Put everything as it was at the end of the last epoch; returns how many are done, and the best one's state."""
    if not checkpoint.exists():
        return 0, None
    state = torch.load(checkpoint, weights_only=True)
    model.towers.load_state_dict(state["towers"])
    for optimizer, its_state in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(its_state)
    model.recall_by_epoch[:] = state["recall_by_epoch"]
    rng.bit_generator.state = json.loads(state["rng"])
    return state["epoch"], state["best_state"]


def _loss(
    towers: Towers,
    histories: Histories,
    user_of_each: NDArray[np.int32],
    batch: NDArray[np.int64],
    negatives: int,
    recent: int,
    rng: np.random.Generator,
) -> Tensor:
    """Weighted mean cross-entropy of the targets at the positions `batch` (B,) against uniform negatives."""
    users = user_of_each[batch]
    windows = windows_of(histories, histories.ptr[users], batch, recent)  # (B, L)
    drawn = rng.integers(0, histories.n_items, (len(batch), negatives))
    choices = np.concatenate([histories.items[batch, None], drawn], axis=1) + 1  # (B, 1 + negatives), rows of the table
    vectors = towers(torch.from_numpy(users.astype(np.int64) + 1), windows)
    weights = np.ones(len(batch), np.float32) if histories.weights is None else histories.weights[batch]
    return sampled_softmax_loss(vectors, towers.items.weight, choices, weights)


def _recall_at_10(model: YoutubeDNN, validation: Validation) -> float:
    """Mean over users of the share of targets among the first ten, what they have already left out."""
    ids, _ = model.rank(validation.users, validation.queries, top_n=10, exclude=validation.queries)
    targets = validation.targets
    hit = (ids[targets.user_of_each()] == targets.items[:, None]).any(axis=1)
    n_targets = targets.lengths
    hits = np.bincount(targets.user_of_each(), weights=hit, minlength=targets.n_users)
    return float((hits[n_targets > 0] / n_targets[n_targets > 0]).mean())
