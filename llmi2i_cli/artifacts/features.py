"""Candidates that are to be described, and what is said of them: columns by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories


@dataclass(frozen=True)
class CandidateRows:
    """Candidates, one row each, with what each is compared with.

    Attributes
    ----------
    contexts : the histories that candidates are compared with, one row a context
    context_of : int64 (n,), the context of each candidate
    users : int64 (n,), row of the log whose own interactions do not testify for the candidate
    items : int32 (n,)
    logprobs, ranks : (n,), the generator's, ranks from 1; None where it was not asked
    """

    contexts: Histories
    context_of: NDArray[np.integer[Any]]
    users: NDArray[np.integer[Any]]
    items: NDArray[np.int32]
    logprobs: NDArray[np.float32] | None = None
    ranks: NDArray[np.integer[Any]] | None = None

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class Features:
    """What is known of candidates.

    Attributes
    ----------
    names : of the columns
    values : float32 (n, n_features); NaN: not known
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """A column, (n,). ValueError if there is none of this name."""
        return self.values[:, self.names.index(name)]


Column = Callable[[CandidateRows], NDArray[np.floating[Any]]]  # a feature of candidates, (n,)
Describe = Callable[[CandidateRows], Features]  # all of them
