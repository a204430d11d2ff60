"""The tables of `prepare/`, bucket by bucket: what is known of a bucket is written once, and joined at the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from llmi2i_cli.artifacts.schemas import USERS, interactions_schema
from llmi2i_cli.data.bucketed_log import BucketedLog
from llmi2i_cli.data.buckets import concatenate, read_bucket, write_buckets
from llmi2i_cli.data.clean import add_counts
from llmi2i_cli.data.counts import item_counts, user_counts
from llmi2i_cli.data.profiles import profile_chunks, with_profiles
from llmi2i_cli.data.splitting import AssignSplits
from llmi2i_cli.files.places import Place
from llmi2i_cli.files.tables import write_table


class PreparedParts:
    """Interactions, users and counts of items of each bucket of a log, in its folder.

    Call `cut_profiles`, then `write`; what a killed run has written is not written again.
    """

    def __init__(self, log: BucketedLog) -> None:
        self.log = log
        self.profiles = log.folder / "profiles"

    def cut_profiles(self, files: Sequence[Place], user_column: str | None) -> None:
        """Cut files about users into the log's buckets."""
        shutil.rmtree(self.profiles, ignore_errors=True)
        write_buckets(profile_chunks(files, user_column), self.profiles, self.log.n_buckets)

    def write(self, assign_splits: AssignSplits, on_bucket: Callable[[], None]) -> None:
        """Split each bucket and write its parts; its counts of items come last, so that they mark the bucket."""
        for bucket in self.log.buckets:
            interactions, users, items = (self._part(name, bucket) for name in ("interactions", "users", "items"))
            if not items.exists():
                rows = assign_splits(self.log.bucket(bucket))
                write_table(rows, interactions, interactions_schema(rows.columns))
                write_table(with_profiles(user_counts(rows), read_bucket([self.profiles], bucket)), users, USERS)
                write_table(item_counts(rows), items)
            on_bucket()

    def concatenate(self, name: str, target: Path) -> None:
        """Write the rows of all buckets, of ``interactions`` or ``users``, as one file."""
        concatenate([self._part(name, bucket) for bucket in self.log.buckets], target)

    def item_counts(self) -> pl.DataFrame:
        """Interactions of each item over all buckets: item_id, count, train_count; sorted by item_id."""
        parts = (self._part("items", bucket) for bucket in self.log.buckets)
        return add_counts([pl.read_parquet(part, glob=False) for part in parts])

    def _part(self, name: str, bucket: int) -> Path:
        return self.log.folder / f"{name}-{bucket:05d}.parquet"
