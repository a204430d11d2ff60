"""What a step of the training works on: every process's share of a batch of examples, packed into rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from llmi2i_cli.llm.packing import TokenSequence, pack


class Examples(Protocol):
    """Training data: one example per user. `sequence` may depend on nothing but `index` (and the epoch's own seed)."""

    def __len__(self) -> int: ...

    def sequence(self, index: int) -> tuple[TokenSequence, NDArray[np.integer[Any]], NDArray[np.floating[Any]]]:
        """Tokens, labels and weights of one example; a label and a weight for each output of the sequence."""
        ...


class Indices(Dataset[int]):
    """The Trainer's data set: only numbers; the collator builds the batch."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        return index


class Shares(Sampler[list[int]]):
    """One process's share of each part of a batch; together the processes see every example once per epoch.

    The order is that of seed and epoch alone, so that any number of processes takes the same steps. In an epoch's last
    part there may be fewer examples than processes: some shares are then empty.
    """

    def __init__(self, n_examples: int, part_size: int, seed: int, *, rank: int = 0, world_size: int = 1) -> None:
        self.n_examples, self.part_size, self.seed = n_examples, part_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.n_examples / self.part_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(self.n_examples, generator=generator)
        for part in order.split(self.part_size):
            yield part[self.rank :: self.world_size].tolist()


class Batches(DataLoader[int]):
    """The Trainer tells it the epoch; it is not for accelerate to share out: its batches are shares already."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


class Collator:
    """Packs the sequences of some examples; tensors as in `packing.PackedRows`, and a label and a weight an output."""

    def __init__(self, examples: Examples, pad_token: int) -> None:
        self.examples, self.pad_token = examples, pad_token

    def __call__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        if not indices:  # every process has to take part in every step: anyone stands in, and counts for nothing
            batch = self([0])
            return {
                **batch,
                "shift_labels": torch.full_like(batch["labels"], -100),
                "weights": torch.zeros_like(batch["weights"]),
            }
        sequences, labels, weights = zip(*(self.examples.sequence(index) for index in indices), strict=True)
        rows = pack(sequences, self.pad_token)
        joined = torch.from_numpy(np.concatenate(labels).astype(np.int64))
        return {
            **vars(rows),
            "labels": joined,
            "shift_labels": joined,  # tells the Trainer that these are already the targets, for its count of them
            "weights": torch.from_numpy(np.concatenate(weights).astype(np.float32)),
        }
