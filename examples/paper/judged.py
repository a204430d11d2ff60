"""The scored candidates of a work directory as arrays, beside what their users did next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.features import CandidateRows, Features
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.indices import with_index
from llmi2i_cli.artifacts.prepared import has_split, read_catalogue, read_histories, read_user_ids
from llmi2i_cli.artifacts.schemas import read_artifact
from llmi2i_cli.i2i.evidence import Evidence

SCORED = "filter/scored.parquet"


@dataclass(frozen=True)
class Judged:
    """Candidates grouped by user, in rank order within a user.

    Attributes
    ----------
    train : what the candidates were made from
    users : int64 (n,), non-decreasing
    items, ranks : int32 (n,)
    logprobs, confidences : float32 (n,)
    features : the evidence of `choices.evidence`
    observed : per split (valid, test) bool (n,): the user has this item in the split
    """

    train: Histories
    users: NDArray[np.int64]
    items: NDArray[np.int32]
    ranks: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    confidences: NDArray[np.float32]
    features: Features
    observed: dict[str, NDArray[np.bool_]]

    def listed(self, split: str) -> NDArray[np.bool_]:
        """Candidates to compare, bool (n,): of users whose item of `split` is listed, without items of earlier splits.

        Candidates are made from train interactions alone. Of a test user's list the validation item is left out: it
        is neither what comes next nor wrong.
        """
        has_target = np.zeros(self.train.n_users, bool)
        has_target[self.users[self.observed[split]]] = True
        here = has_target[self.users]
        return here & ~self.observed["valid"] if split == "test" else here


def read_judged(workdir: Path) -> Judged:
    """Read ``filter/scored.parquet`` and describe it anew."""
    catalogue, train, user_ids = read_catalogue(workdir), read_histories(workdir), read_user_ids(workdir)
    frame = with_index(read_artifact(workdir, SCORED), user_ids, "user_id", SCORED)
    frame = with_index(frame, catalogue.ids, "item_id", SCORED).sort("user_id_index", "rank", maintain_order=True)
    users = frame["user_id_index"].to_numpy().astype(np.int64)
    items = frame["item_id_index"].to_numpy().astype(np.int32)
    logprobs, ranks = frame["logprob"].to_numpy(), frame["rank"].to_numpy()
    observed = {}
    for split in ("valid", "test"):
        if has_split(workdir, split):
            held_out = read_histories(workdir, (split,))
            pairs = held_out.user_of_each().astype(np.int64) * train.n_items + held_out.items
            observed[split] = np.isin(users * train.n_items + items, pairs)
    return Judged(
        train=train,
        users=users,
        items=items,
        ranks=ranks,
        logprobs=logprobs,
        confidences=frame["confidence"].to_numpy(),
        features=Evidence(train, catalogue.texts).features(CandidateRows(train, users, users, items, logprobs, ranks)),
        observed=observed,
    )


def pointers(users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each user's rows begin, and the end, int64 (n_users + 1,); `users` are grouped."""
    return np.append(np.flatnonzero(np.diff(users, prepend=-1)), len(users)).astype(np.int64)
