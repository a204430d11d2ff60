"""The generator as item-to-item models ask it: its vector of each item, and its state after each item alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.llm.generate import Generator, load_generator, states_after

ITEMS_AT_ONCE = 1024


@dataclass(frozen=True)
class ItemStates:
    """A loaded generator; what it says of items is of no user, so the profile is empty."""

    generator: Generator
    n_items: int

    @classmethod
    def load(cls, directory: Path, catalogue: Catalogue) -> ItemStates:
        """Load what `sft-gen` wrote. ArtifactError if it is damaged, foreign or of another catalogue."""
        return cls(load_generator(directory, catalogue, [""]), catalogue.n_items)

    @torch.no_grad()
    def item_vectors(self) -> NDArray[np.float32]:
        """The row of each item in the output layer, float32 (n_items, d)."""
        model = self.generator.model
        vectors: NDArray[np.float32] = model.output_rows(model.input_table()).float().cpu().numpy()
        return vectors

    def states_after_each(self) -> NDArray[np.float32]:
        """The state after a history of each item alone, float32 (n_items, d); kept, for the next point of a tuning."""
        return self._states

    @cached_property
    def _states(self) -> NDArray[np.float32]:
        items = np.arange(self.n_items, dtype=np.int32)
        histories = [(0, items[place : place + 1]) for place in range(self.n_items)]
        blocks = range(0, self.n_items, ITEMS_AT_ONCE)
        found = [states_after(self.generator, histories[start : start + ITEMS_AT_ONCE]) for start in blocks]
        return torch.cat(found).cpu().numpy()
