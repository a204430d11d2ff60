"""YoutubeDNN (Covington et al., RecSys 2016) in the shape that LLM-CF uses: a tower over the user and recent items.

user vector = MLP(user embedding | mean of the last 20 items' embeddings), 128 -> 64 -> 64 -> 64; item vector = its row
in the same item table; a softmax over the target and 128 uniform negatives. Item-to-item neighbours are cosines of the
item vectors; the model can also rank by its own user vectors, as the paper's baseline does.
"""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.i2i.dense_neighbours import cosine_neighbours, nearest_items
from llmi2i_cli.i2i.neighbours import Neighbours


class Towers(nn.Module):
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


_TOWER_ARRAYS = tuple(Towers(1, 1, 1).state_dict())


@dataclass(frozen=True)
class YoutubeDNN:
    """A trained model.

    Attributes
    ----------
    known_items : bool (n_items,), items that were in the training log
    recall_by_epoch : validation Recall@10 after each epoch; empty without validation
    """

    towers: Towers
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
        with torch.inference_mode(), one_thread():
            for start in range(0, queries.n_users, batch_size):
                rows = np.arange(start, min(start + batch_size, queries.n_users))
                windows = windows_of(queries, queries.ptr[rows], queries.ptr[rows + 1], self.recent)
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
            towers = Towers(n_users, n_items, state["items.weight"].shape[1])
            towers.load_state_dict(state)
        except (OSError, ValueError, KeyError, RuntimeError, IndexError, zipfile.BadZipFile) as error:
            raise ArtifactError(
                f"{path} is not a YoutubeDNN (or damaged): run `llmi2i train-i2i --model youtubednn --force` again"
            ) from error
        return cls(towers, known_items, recent)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Steps this small are over before threads have met, and on a busy machine threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def windows_of(histories: Histories, begins: NDArray[np.int64], ends: NDArray[np.int64], recent: int) -> Tensor:
    """The last `recent` items in ``begins .. ends`` of the log, plus 1; 0 padded on the left: int64 (B, recent)."""
    places = ends[:, None] - np.arange(recent, 0, -1)  # (B, recent)
    inside = places >= begins[:, None]
    if not len(histories.items):
        return torch.zeros(places.shape, dtype=torch.int64)
    return torch.from_numpy(np.where(inside, histories.items[np.where(inside, places, 0)].astype(np.int64) + 1, 0))
