"""YoutubeDNN (Covington et al., RecSys 2016) in the shape that LLM-CF uses: a tower over the user and recent items.

user vector = MLP(user embedding | mean of the last 20 items' embeddings), 128 -> 64 -> 64 -> 64; item vector = its row
in the same item table; a softmax over the target and 128 uniform negatives. Item-to-item neighbours are cosines of the
item vectors; the model can also rank by its own user vectors, as the paper's baseline does.
"""

from __future__ import annotations

import contextlib
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.model_options import YoutubeDnnOptions
from llmi2i_cli.choices.options import as_given
from llmi2i_cli.errors import ArtifactError, ModelError
from llmi2i_cli.files.atomic import replacing
from llmi2i_cli.i2i.dense_neighbours import cosine_neighbours, nearest_items
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.sampled_softmax import sampled_softmax_loss
from llmi2i_cli.i2i.training import Job, Trained, Validation

UNKNOWN_USER = -1


class _Towers(nn.Module):
    """Row 0 of both tables is for "nobody" and "nothing": it stays 0."""

    def __init__(self, n_users: int, n_items: int, dimensions: int) -> None:
        super().__init__()
        self.users = nn.Embedding(n_users + 1, dimensions, padding_idx=0, sparse=True)
        self.items = nn.Embedding(n_items + 1, dimensions, padding_idx=0)
        self.mlp = nn.Sequential(
            nn.Linear(2 * dimensions, dimensions),
            nn.ReLU(),
            nn.Linear(dimensions, dimensions),
            nn.ReLU(),
            nn.Linear(dimensions, dimensions),
        )
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=1 / math.sqrt(dimensions))
            with torch.no_grad():
                table.weight[0] = 0

    def forward(self, users: Tensor, recent: Tensor) -> Tensor:
        """users int64 (B,), recent items int64 (B, L), both from 1, 0 = none -> user vectors float32 (B, d)."""
        n_recent = (recent > 0).sum(dim=1, keepdim=True).clamp(min=1)
        mean = self.items(recent).sum(dim=1) / n_recent
        return self.mlp(torch.cat([self.users(users), mean], dim=1))


_TOWER_ARRAYS = tuple(_Towers(1, 1, 1).state_dict())


@dataclass(frozen=True)
class YoutubeDNN:
    """A trained model.

    Attributes
    ----------
    known_items : bool (n_items,), items that were in the training log
    recall_by_epoch : validation Recall@10 after each epoch; empty without validation
    """

    towers: _Towers
    known_items: NDArray[np.bool_]
    recent: int
    recall_by_epoch: list[float] = field(default_factory=list)

    @property
    def n_items(self) -> int:
        return len(self.known_items)

    @property
    def item_vectors(self) -> NDArray[np.float32]:
        """float32 (n_items, d)"""
        return self.towers.items.weight.detach().numpy()[1:]

    def user_vectors(
        self, users: NDArray[np.int32], queries: Histories, *, batch_size: int = 4096
    ) -> NDArray[np.float32]:
        """float32 (n_queries, d) from row `users` of the training log (-1: not in it) and their items, oldest first."""
        vectors = np.empty((queries.n_users, self.item_vectors.shape[1]), np.float32)
        with torch.inference_mode(), _one_thread():
            for start in range(0, queries.n_users, batch_size):
                rows = np.arange(start, min(start + batch_size, queries.n_users))
                windows = _windows(queries, queries.ptr[rows], queries.ptr[rows + 1], self.recent)
                vectors[rows] = self.towers(torch.from_numpy(users[rows].astype(np.int64) + 1), windows).numpy()
        return vectors

    def neighbours(self, *, top_k: int = 200, search: str = "exact") -> Neighbours:
        """Each item's `top_k` items of largest cosine; `search` as in `cosine_neighbours`."""
        return cosine_neighbours(self.item_vectors, self.known_items, top_k=top_k, search=search)

    def rank(
        self, users: NDArray[np.int32], queries: Histories, *, top_n: int, exclude: Histories | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The catalogue ranked by dot product with the user vectors: ids (n_queries, top_n), -1 padded, and scores."""
        return nearest_items(
            self.user_vectors(users, queries), self.item_vectors, self.known_items, top_k=top_n, exclude=exclude
        )

    def save(self, path: Path, users: NDArray[np.int64]) -> None:
        """Write an .npz whose user k is row ``users[k]`` of the training log (-1: not in it)."""
        arrays = {f"towers.{name}": tensor.numpy() for name, tensor in self.towers.state_dict().items()}
        table = arrays["towers.users.weight"]
        arrays["towers.users.weight"] = np.concatenate([table[:1], table[users + 1]])
        np.savez(path, known_items=self.known_items, recent=np.int64(self.recent), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> YoutubeDNN:
        """Read what `save` wrote. ArtifactError if it is damaged or foreign."""
        try:
            with np.load(path) as arrays:
                state = {name: torch.from_numpy(arrays[f"towers.{name}"]) for name in _TOWER_ARRAYS}
                known_items, recent = arrays["known_items"], int(arrays["recent"])
            n_users, n_items = len(state["users.weight"]) - 1, len(state["items.weight"]) - 1
            towers = _Towers(n_users, n_items, state["items.weight"].shape[1])
            towers.load_state_dict(state)
        except (OSError, ValueError, KeyError, RuntimeError, IndexError, zipfile.BadZipFile) as error:
            raise ArtifactError(
                f"{path} is not a YoutubeDNN (or damaged): run `llmi2i train-i2i --model youtubednn --force` again"
            ) from error
        return cls(towers, known_items, recent)


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
    towers = _Towers(histories.n_users, histories.n_items, dimensions)
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
        with _one_thread():
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


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Steps this small are over before threads have met, and on a busy machine threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
    towers: _Towers,
    histories: Histories,
    user_of_each: NDArray[np.int32],
    batch: NDArray[np.int64],
    negatives: int,
    recent: int,
    rng: np.random.Generator,
) -> Tensor:
    """Weighted mean cross-entropy of the targets at the positions `batch` (B,) against uniform negatives."""
    users = user_of_each[batch]
    windows = _windows(histories, histories.ptr[users], batch, recent)  # (B, L)
    drawn = rng.integers(0, histories.n_items, (len(batch), negatives))
    choices = np.concatenate([histories.items[batch, None], drawn], axis=1) + 1  # (B, 1 + negatives), rows of the table
    vectors = towers(torch.from_numpy(users.astype(np.int64) + 1), windows)
    weights = np.ones(len(batch), np.float32) if histories.weights is None else histories.weights[batch]
    return sampled_softmax_loss(vectors, towers.items.weight, choices, weights)


def _windows(histories: Histories, begins: NDArray[np.int64], ends: NDArray[np.int64], recent: int) -> Tensor:
    """The last `recent` items in ``begins .. ends`` of the log, plus 1; 0 padded on the left: int64 (B, recent)."""
    places = ends[:, None] - np.arange(recent, 0, -1)  # (B, recent)
    inside = places >= begins[:, None]
    if not len(histories.items):
        return torch.zeros(places.shape, dtype=torch.int64)
    return torch.from_numpy(np.where(inside, histories.items[np.where(inside, places, 0)].astype(np.int64) + 1, 0))


def _recall_at_10(model: YoutubeDNN, validation: Validation) -> float:
    """Mean over users of the share of targets among the first ten, what they have already left out."""
    ids, _ = model.rank(validation.users, validation.queries, top_n=10, exclude=validation.queries)
    targets = validation.targets
    hit = (ids[targets.user_of_each()] == targets.items[:, None]).any(axis=1)
    n_targets = targets.lengths
    hits = np.bincount(targets.user_of_each(), weights=hit, minlength=targets.n_users)
    return float((hits[n_targets > 0] / n_targets[n_targets > 0]).mean())
