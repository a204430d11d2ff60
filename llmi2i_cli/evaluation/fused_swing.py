"""What a generator's candidates are worth: validation Recall@10 of a Swing on the log with them, beside the log alone.

A generator's own recall says little about the data that it makes: trained longer it may hardly find more itself, and
yet its candidates make a better Swing. Training one costs seconds, so it can be asked after every epoch.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.data.fusion import Candidates, Choice, fuse_histories, select
from llmi2i_cli.evaluation.validation import HeldOut, recall_by_recent
from llmi2i_cli.i2i.swing import swing_neighbours

CHOICE = Choice("pseudo-user", "rank", recall_number=5, min_confidence=0.0, copied_history=5)  # about what `fuse` tunes
MAX_ITEM_USERS = 1000  # bounds the time on any log
MAX_USERS = 100_000  # of a larger log a sample is taken: ten thousand users' candidates are to be seen in it


class FusedSwing:
    """A Swing on a real log, tuned; and what it becomes with candidates added, by the same options.

    Attributes
    ----------
    held_out : the users that it is measured on
    real_recall : validation Recall@10 of the best point of Swing's grid on the real log, at its best M
    options : that point
    """

    def __init__(self, real: Histories, held_out: HeldOut) -> None:
        rows = np.arange(real.n_users)
        if real.n_users > MAX_USERS:
            others = np.random.default_rng(0).permutation(np.setdiff1d(rows, held_out.users))
            rows = np.sort(np.concatenate([held_out.users, others[: max(0, MAX_USERS - len(held_out.users))]]))
        self._rows, self._real, self.held_out = rows, real.take(rows), held_out

    @cached_property
    def _tuned(self) -> tuple[float, dict[str, Any]]:
        recalls = [(self._recall(self._real, options), options) for options in MODELS["swing"].points({})]
        return max(recalls, key=lambda point: point[0])

    @property
    def real_recall(self) -> float:
        return self._tuned[0]

    @property
    def options(self) -> dict[str, Any]:
        return self._tuned[1]

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
        return self._recall(fused, self.options)

    def _recall(self, log: Histories, options: dict[str, Any]) -> float:
        neighbours = swing_neighbours(log, **{**options, "max_item_users": MAX_ITEM_USERS})
        return max(recall_by_recent(neighbours, self.held_out).values())
