"""What the work on a block of users reads of the prepared log, when it is needed first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llmi2i_cli.runs.tasks import SentAsFields

if TYPE_CHECKING:
    import polars as pl

    from llmi2i_cli.artifacts.histories import Histories
    from llmi2i_cli.artifacts.prepared import Catalogue


@dataclass(frozen=True)
class OnPreparedLog(SentAsFields):
    """Sent to another process, it reads the log there again."""

    workdir: Path

    @cached_property
    def catalogue(self) -> Catalogue:
        from llmi2i_cli.artifacts.prepared import read_catalogue

        return read_catalogue(self.workdir)

    @cached_property
    def user_ids(self) -> pl.Series:
        from llmi2i_cli.artifacts.prepared import read_user_ids

        return read_user_ids(self.workdir)

    @cached_property
    def histories(self) -> Histories:
        from llmi2i_cli.artifacts.prepared import read_histories

        return read_histories(self.workdir)
