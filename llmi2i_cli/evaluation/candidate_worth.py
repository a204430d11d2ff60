"""What a generator's candidates are worth: validation Recall@10 of the served model on the log with them, and without.

A generator's own recall says little about the data that it makes: trained longer it may hardly find more itself, and
yet its candidates make a better table. Training one costs seconds, so it can be asked after every epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.data.fusion import Candidates, Choice, fuse_histories, select
from llmi2i_cli.evaluation.served_model import ServedModel
from llmi2i_cli.evaluation.validation import HeldOut
from llmi2i_cli.i2i.training import Job

CHOICE = Choice("pseudo-user", "rank", recall_number=5, min_confidence=0.0, copied_history=5)  # about what `fuse` tunes
MAX_USERS = 100_000  # of a larger log a sample is taken: ten thousand users' candidates are to be seen in it


class CandidateWorth:
    """A model on a real log, tuned; and what it becomes with candidates added, by the same options.

    Attributes
    ----------
    held_out : the users that it is measured on
    real_recall : validation Recall@10 of the model on the real log, at its best lookup
    served : the model with its options
    """

    def __init__(self, model: str, real: Histories, held_out: HeldOut, texts: Iterable[str | None]) -> None:
        rows = np.arange(real.n_users)
        if real.n_users > MAX_USERS:
            others = np.random.default_rng(0).permutation(np.setdiff1d(rows, held_out.users))
            rows = np.sort(np.concatenate([held_out.users, others[: max(0, MAX_USERS - len(held_out.users))]]))
        self._model, self._rows, self._real, self._texts = model, rows, real.take(rows), texts
        self.held_out = held_out

    @cached_property
    def served(self) -> ServedModel:
        return ServedModel.tuned(self._model, Job(self._real, texts=self._texts), self.held_out)

    @cached_property
    def real_recall(self) -> float:
        return self.served.recall(self._real, self.held_out)[1]

    def recall(self, users: NDArray[np.int64], ranked: NDArray[np.int32]) -> float:
        """Validation Recall@10 with the first candidates of some users, each behind a copy of the latest history.

        Parameters
        ----------
        users : int64 (n,), rows of the real log, ascending, of users that are held out
        ranked : int32 (n, m), items in rank order, padded with -1
        """
        listed = ranked >= 0
        candidates = Candidates(
            users=np.repeat(np.searchsorted(self._rows, users), listed.sum(axis=1)),
            items=ranked[listed],
            ranks=np.broadcast_to(np.arange(1, ranked.shape[1] + 1, dtype=np.int32), ranked.shape)[listed],
            confidences=np.ones(listed.sum(), np.float32),
            keep=np.ones(listed.sum(), bool),
        )
        fused = fuse_histories(self._real, candidates, select(candidates, CHOICE), CHOICE)
        return self.served.recall(fused, self.held_out)[1]
