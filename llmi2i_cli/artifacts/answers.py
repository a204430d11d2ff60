"""What a model has answered in the last run of a stage, for the users that it would be asked the same about again.

Beside its answers a stage writes ``questions.parquet``: of each user a digest of everything that the model was asked
with. The model, the versions and the options that matter are the same (`runs.again` sees to that), and an answer
depends on its question alone (`llm.fixed_shapes`), so the rows are those that asking again would give.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.schemas import read_artifact, rows_of_users, scan_artifact, table_of


def question_digest(parts: Sequence[NDArray[Any]]) -> int:
    """64 bits that tell questions about a user apart."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(f"{part.dtype} {part.shape} ".encode())
        digest.update(part.tobytes())
    return int.from_bytes(digest.digest(), "big")


@dataclass(frozen=True)
class EarlierAnswers:
    """Answers by user.

    Attributes
    ----------
    answers : the table of answers; the rows of a user stand together
    questions : uint64 (n_users,), digests
    starts, counts : int64 (n_users,), the rows of each user's answer; none where the user was not asked
    """

    answers: pl.LazyFrame
    questions: NDArray[np.uint64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def none(cls, path: str, n_users: int) -> EarlierAnswers:
        """Nobody was asked."""
        nothing = np.zeros(n_users, np.int64)
        return cls(pl.LazyFrame(schema=dict(table_of(path).schema)), nothing.astype(np.uint64), nothing, nothing)

    @classmethod
    def read(cls, workdir: Path, path: str, user_ids: pl.Series) -> EarlierAnswers:
        """Those beside the table of answers at `path`, for the users of today."""
        asked = read_artifact(workdir, f"{Path(path).parent}/questions.parquet")
        today = pl.DataFrame({"user_id": user_ids})
        for table in (asked, rows_of_users(workdir, path)):
            today = today.join(table, on="user_id", how="left", maintain_order="left")
        found = today.select(pl.col("question", "start", "count").fill_null(0))
        return cls(scan_artifact(workdir, path), *(found[name].to_numpy() for name in ("question", "start", "count")))

    def have(self, users: NDArray[np.integer[Any]], questions: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Of which of some `users` the question is the same as before, bool (len(users),)."""
        return (self.counts[users] > 0) & (self.questions[users] == questions)

    def kept(self, questions: Path, user_ids: pl.Series) -> int:
        """How many users a new table of questions asks the same about."""
        before = pl.DataFrame({"user_id": user_ids, "before": self.questions}).filter(pl.Series(self.counts > 0))
        both = pl.read_parquet(questions, glob=False).join(before, on="user_id")
        return both.filter(pl.col("question") == pl.col("before")).height

    def rows(self, users: NDArray[np.integer[Any]]) -> pl.DataFrame:
        """The answers about `users`, in their order."""
        starts, counts = self.starts[users], self.counts[users]
        first = int(starts.min()) if len(users) else 0
        near = self.answers.slice(first, int((starts + counts).max(initial=0)) - first).collect()
        before = np.cumsum(counts) - counts
        places = np.repeat(starts - first - before, counts) + np.arange(counts.sum())
        return near[places]
