"""What every model's training is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.row_job import RankRows, RowJob, rank_rows


@dataclass(frozen=True)
class Validation:
    """What early stopping watches: rows of the training log, what is known of them, and what they do next."""

    users: NDArray[np.int32]
    queries: Histories
    targets: Histories


class ItemGenerator(Protocol):
    """The trained generator, as item-to-item models ask it: its logits are states times item vectors."""

    def item_vectors(self) -> NDArray[np.float32]:
        """The row of each item in the output layer, float32 (n_items, d)."""

    def states_after_each(self) -> NDArray[np.float32]:
        """The state after a history of each item alone, float32 (n_items, d)."""


@dataclass(frozen=True)
class Job:
    """A log to train on, and how.

    Attributes
    ----------
    histories : one row per (pseudo-)user, oldest first
    top_k : neighbours per item
    search : how dense models find their neighbours, ``exact`` or ``faiss``; the others take no notice
    validation : what early stopping watches; None trains to the end
    checkpoint : file by which a long training goes on after a kill
    on_progress : called with (done, total, text)
    texts : of the items, where the model reads them
    vectors : float32 (n_items, d), those that the user has, where the model reads them; zeros for an item without one
    generator : the trained one, where the model reads it
    rank_rows : who ranks the rows of a model that makes its table row by row; None is the threads of this process
    parts : the tables of its parts, in their order, where the model has parts
    """

    histories: Histories
    top_k: int = 200
    search: str = "exact"
    validation: Validation | None = None
    checkpoint: Path | None = None
    on_progress: Callable[[int, int, str], None] | None = None
    texts: Iterable[str | None] = ()
    vectors: NDArray[np.float32] | None = None
    generator: ItemGenerator | None = None
    rank_rows: RankRows | None = None
    parts: Sequence[Neighbours] = ()

    def rank(self, rows: RowJob) -> Neighbours:
        """The table of a model that makes it row by row."""
        return self.rank_rows(rows) if self.rank_rows else rank_rows(rows, self.tell)

    def tell(self, done: int, total: int, text: str = "") -> None:
        if self.on_progress:
            self.on_progress(done, total, text)


class UserRanker(Protocol):
    """A trained model that can also rank by users' vectors.

    Attributes
    ----------
    recent : how many recent items make a user's vector
    recall_by_epoch : validation Recall@10 after each epoch; empty without validation
    n_items : of the catalogue that it was trained on
    """

    @property
    def recent(self) -> int: ...

    @property
    def recall_by_epoch(self) -> list[float]: ...

    @property
    def n_items(self) -> int: ...

    def rank(
        self, users: NDArray[np.int32], queries: Histories, *, top_n: int, exclude: Histories | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The catalogue ranked: ids (n_queries, top_n), -1 padded, and scores."""

    def save(self, path: Path, users: NDArray[np.int64]) -> None:
        """Write a file whose user k is row ``users[k]`` of the training log (-1: not in it)."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote. ArtifactError if it is damaged or foreign."""


@dataclass(frozen=True)
class Trained:
    """What training gives: the neighbours and, from a model that can rank by users' vectors, that."""

    neighbours: Neighbours
    user_ranker: UserRanker | None = None


def train(model: str, job: Job, options: Mapping[str, Any]) -> Trained:
    """Train a model by its name, with all its `options` (see `choices.models.Model.complete`)."""
    row = MODELS[model]
    trained: Trained = load(row.train)(job, row.options(**options))
    return trained
