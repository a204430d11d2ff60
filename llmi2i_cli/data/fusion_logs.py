"""What `fuse` joins: the train interactions, judged or not, and the scored candidates, read from a work directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.indices import with_index
from llmi2i_cli.artifacts.prepared import read_histories, read_item_ids, read_times, read_user_ids
from llmi2i_cli.artifacts.schemas import read_artifact
from llmi2i_cli.data.fusion import Candidates, Choice, fuse_histories, select, without_noise
from llmi2i_cli.errors import ArtifactError


class Logs:
    """The train interactions, with verdicts on them where `include_real` asks for these, and the scored candidates."""

    def __init__(self, workdir: Path, include_real: bool) -> None:
        self.user_ids, self.item_ids = read_user_ids(workdir), read_item_ids(workdir)
        self.candidates = _read_candidates(workdir, self.user_ids, self.item_ids)
        self._train, self._times = read_histories(workdir), read_times(workdir)
        self._confidences = _read_confidences(workdir) if include_real else None
        self._left: dict[float, tuple[Histories, NDArray[np.int64]]] = {}

    @property
    def n_real(self) -> int:
        return len(self._times)

    def real(self, drop_real: float) -> tuple[Histories, NDArray[np.int64]]:
        """What is left of the real log, a row for each user of ``prepare/``, and the time of each interaction."""
        if self._confidences is None or drop_real == 0:
            return self._train, self._times
        if drop_real not in self._left:
            left = without_noise(self._train, self._confidences, drop_real)
            self._left[drop_real] = self._train.where(left), self._times[left]
        return self._left[drop_real]

    def chosen(self, choice: Choice) -> NDArray[np.int64]:
        """Rows of the chosen candidates, without those of users who have nothing left to add to."""
        rows = select(self.candidates, choice)
        return rows[self.real(choice.drop_real)[0].lengths[self.candidates.users[rows]] > 0]

    def fused(self, choice: Choice) -> tuple[Histories, int]:
        """The fused log as arrays, and how many candidates it holds."""
        rows = self.chosen(choice)
        return fuse_histories(self.real(choice.drop_real)[0], self.candidates, rows, choice), len(rows)


def _read_confidences(workdir: Path) -> NDArray[np.float32]:
    """The confidence of each train interaction. ArtifactError if another log was judged."""
    verdicts = read_artifact(workdir, "filter/scored-real.parquet")
    judged = ("user_id", "item_id", "timestamp")
    train = read_artifact(workdir, "prepare/interactions.parquet").filter(split="train").select(judged)
    if not verdicts.select(judged).equals(train):
        raise ArtifactError(
            f"{workdir}/filter/scored-real.parquet judges another log than {workdir}/prepare: "
            f"run `llmi2i filter --include-real -w {workdir}` again"
        )
    return verdicts.select(pl.col("confidence")).to_series().to_numpy()


def _read_candidates(workdir: Path, user_ids: pl.Series, item_ids: pl.Series) -> Candidates:
    path = "filter/scored.parquet"
    frame = with_index(with_index(read_artifact(workdir, path), user_ids, "user_id", path), item_ids, "item_id", path)
    frame = frame.sort("user_id_index", "rank", maintain_order=True)
    return Candidates(
        users=frame["user_id_index"].to_numpy().astype(np.int64),
        items=frame["item_id_index"].to_numpy().astype(np.int32),
        ranks=frame["rank"].to_numpy(),
        confidences=frame["confidence"].to_numpy(),
        keep=frame["keep"].to_numpy(),
    )
