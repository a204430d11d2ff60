"""LLM-CF's data side (Sun et al., CIKM 2024) for item-to-item models: what followed similar histories of other users.

Every train interaction with something before it is an example (history -> next item). An example lies where the
generator's state after its history does. For each user, the examples of others that are nearest by cosine to the user's
own history vote for their next items, each with its cosine.

Simplified: LLM-CF lets a chat model write a chain of thought for an example and trains a network on the retrieved
texts; an item-to-item model has no room for texts, so an example is its history and its next item alone, and the space
is that of the fine-tuned generator.

Cost: n_users x n_examples x d multiplications. Memory: 4 d bytes per example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.llm.generate import Generator, Ranker, states_after

EXAMPLES = 100  # that vote: enough for 30 different items
EMBEDDED_AT_ONCE = 1024
CHUNK_COSINES = 8 << 20  # held at once: 32 MB


def of_others(generator: Generator, histories: Histories, history: int, top_n: int) -> Ranker:
    """The row of `choices.methods`. ArtifactError for a log without examples."""
    examples = examples_of(histories)
    if not len(examples.places):
        raise ArtifactError(
            "--method llm-cf learns from what followed others' histories: no user with two train interactions"
        )
    return SimilarExamples(generator, histories, history, top_n, examples)


@dataclass(frozen=True)
class Examples:
    """Interactions that something came before, users in their order.

    Attributes
    ----------
    places : int64 (n_examples,), of the next item in the log's `items`
    ptr : int64 (n_users + 1,), the examples of user u are ``ptr[u]`` to ``ptr[u + 1]``
    """

    places: NDArray[np.int64]
    ptr: NDArray[np.int64]


def examples_of(histories: Histories) -> Examples:
    """All examples of a log."""
    is_first = np.zeros(len(histories.items), bool)
    is_first[histories.ptr[:-1][histories.lengths > 0]] = True
    per_user = np.maximum(histories.lengths - 1, 0)
    return Examples(np.flatnonzero(~is_first), np.concatenate([[0], np.cumsum(per_user)]))


class SimilarExamples:
    """A ranker of users' candidates; the examples are embedded once."""

    def __init__(
        self, generator: Generator, histories: Histories, history: int, top_n: int, examples: Examples
    ) -> None:
        self._generator, self._histories, self._history, self._top_n = generator, histories, history, top_n
        self._examples = examples
        before = histories.before(examples.places, history)
        users = histories.user_of_each()[examples.places]
        asked = [(int(user), before.row(row)) for row, user in enumerate(users)]
        self._vectors = self._directions(asked)  # (n_examples, d)
        self._targets = torch.from_numpy(histories.items[examples.places]).long()

    def __call__(self, users: Sequence[int]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Candidates of some users, best first, as `generate.rank_block` returns them.

        The log-probability is that of an item among the votes for what the user has not seen.
        """
        width = max(1, CHUNK_COSINES // max(len(self._targets), self._histories.n_items))
        items_out = np.full((len(users), self._top_n), -1, np.int32)
        logprobs_out = np.full((len(users), self._top_n), -np.inf, np.float32)
        for start in range(0, len(users), width):
            votes = self._votes(users[start : start + width])  # (C, n_items)
            found, items = votes.topk(min(self._top_n, votes.shape[1]), dim=1)
            logprobs = (found / votes.sum(dim=1, keepdim=True)).log()
            items_out[start : start + width, : items.shape[1]] = items.masked_fill(found == 0, -1).numpy()
            logprobs_out[start : start + width, : items.shape[1]] = logprobs.masked_fill(found == 0, -torch.inf).numpy()
        return items_out, logprobs_out

    @torch.no_grad()
    def _votes(self, users: Sequence[int]) -> torch.Tensor:
        """The sum of the cosines that speak for each item, float32 (n_users, n_items); 0 for what was seen."""
        queries = self._directions([(user, self._histories.row(user)[-self._history :]) for user in users])
        cosines = queries @ self._vectors.T  # (C, n_examples)
        for row, user in enumerate(users):
            cosines[row, self._examples.ptr[user] : self._examples.ptr[user + 1]] = -1  # nobody is asked about oneself
        nearest, which = cosines.topk(min(EXAMPLES, cosines.shape[1]), dim=1)
        votes = torch.zeros(len(users), self._histories.n_items)
        votes.scatter_add_(1, self._targets[which], nearest.clamp(min=0))
        for row, user in enumerate(users):
            votes[row, torch.from_numpy(self._histories.row(user)).long()] = 0
        return votes

    @torch.no_grad()
    def _directions(self, asked: Sequence[tuple[int, NDArray[np.int32]]]) -> torch.Tensor:
        """The states after histories, each of length 1, float32 (len(asked), d)."""
        blocks = range(0, len(asked), EMBEDDED_AT_ONCE)
        states = [states_after(self._generator, asked[start : start + EMBEDDED_AT_ONCE]).cpu() for start in blocks]
        return torch.nn.functional.normalize(torch.cat(states), dim=1)
