"""A log on its way from the input files to a clean, split log, in buckets on disk, of which one at a time is in memory.

All steps leave files under one directory and skip what is there already, so a killed run goes on where it stopped.
Beside a bucket only what is known per item is in memory: counts, and the items that the k-core leaves.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from llmi2i_cli.choices.preparation import CleanOptions
from llmi2i_cli.data.buckets import read_bucket, write_buckets
from llmi2i_cli.data.clean import add_counts, cap, core_pass, degrees, order_and_dedupe
from llmi2i_cli.data.kept_log import CutFile, KeptLog
from llmi2i_cli.data.window import Window
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.atomic import write_json
from llmi2i_cli.files.tables import write_table


class BucketedLog:
    """A log in `n_buckets` buckets of whole users under `folder`, those of the clean log under `clean_folder`.

    Call `cut` for each input file, `clean`, then `find_core`; after that `bucket` gives each bucket's final log. Before
    all that `go_on_from` may take the first files from a kept log. `cuts` tells of the files so far.
    """

    def __init__(
        self, folder: Path, clean_folder: Path, n_buckets: int, options: CleanOptions, schema: Mapping[str, Any]
    ) -> None:
        """`schema` has the columns of the chunks that `cut` gets, see `interactions.LogReader`."""
        self.folder, self.clean_folder, self.n_buckets = folder, clean_folder, n_buckets
        self.options, self.schema = options, schema
        self.cuts: list[CutFile] = []
        self.core_items: pl.Series | None = None
        self._kept: list[Path] = []
        for each in (folder, clean_folder):
            each.mkdir(parents=True, exist_ok=True)

    def go_on_from(self, kept: KeptLog) -> None:
        """Begin with the rows of a log that was cleaned before, and the files that it is of."""
        self.cuts += kept.cuts
        self._kept = [kept.folder]
        if len(kept.buckets) != self.n_buckets:
            self._kept = [self.folder / "cut-kept"]
            shutil.rmtree(self._kept[0], ignore_errors=True)
            rows = (pl.read_parquet(bucket, glob=False) for bucket in kept.buckets)
            write_buckets(rows, self._kept[0], self.n_buckets)

    def cut(self, chunks: Iterator[pl.DataFrame]) -> CutFile:
        """Cut the next input file into the buckets."""
        number = len(self.cuts)
        done = self.folder / f"cut-{number:06d}.json"
        if not done.exists():
            latest: int | None = None

            def watched() -> Iterator[pl.DataFrame]:
                nonlocal latest
                for chunk in chunks:
                    times = [t for t in (latest, chunk["timestamp"].max()) if isinstance(t, int)]
                    latest = max(times, default=None)
                    yield chunk

            folder = self._cut_folder(number)
            shutil.rmtree(folder, ignore_errors=True)
            n_rows = write_buckets(watched(), folder, self.n_buckets)
            write_json(done, {"n_rows": n_rows, "latest": latest})
        self.cuts.append(CutFile(**json.loads(done.read_text())))
        return self.cuts[-1]

    def clean(self, window: Window | None, on_bucket: Callable[[], None]) -> None:
        """Order and dedupe what of each bucket lies in the window; the cut files go when all are done.

        Raises
        ------
        InputError : no interaction lies in the window
        """
        folders = [self._cut_folder(number) for number in range(len(self.cuts))]
        for bucket in range(self.n_buckets):
            target = self._clean_file(bucket)
            if not target.exists():
                rows = read_bucket([*self._kept, *folders], bucket)
                if rows is None:
                    rows = pl.DataFrame(schema=dict(self.schema))
                write_table(order_and_dedupe(rows if window is None else window.keep(rows)), target)
            on_bucket()
        if window is not None and self._count_clean() == 0:
            raise window.nothing_left()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def find_core(self) -> None:
        """Find the items of the k-core by passes over the log until none of them falls under its minimum.

        A pass starts from the clean log again: who fell out of an earlier pass has no more items left in this one.

        Raises
        ------
        InputError : no item is left
        """
        if not self.options.has_core:
            return
        path = self.folder / "core-items.parquet"
        if path.exists():
            items = pl.read_parquet(path, glob=False)["item_id"]
        else:
            counts = add_counts([degrees(self._read(bucket)) for bucket in range(self.n_buckets)])
            items = self._enough_users(counts)
        while True:
            write_table(items.to_frame(), path)
            passed = (core_pass(self._read(b), items, self.options.min_user_items) for b in range(self.n_buckets))
            still = self._enough_users(add_counts([degrees(log) for log in passed]))
            if len(still) == len(items):
                break
            items = still
        if items.is_empty():
            raise InputError(
                f"no interaction is left: --min-user-items {self.options.min_user_items} and --min-item-users "
                f"{self.options.min_item_users} together remove all {self._count_clean():,}; lower them"
            )
        self.core_items = items

    def bucket(self, bucket: int) -> pl.DataFrame:
        """The interactions of one bucket after all filters: user_id, item_id, timestamp; by user, oldest first."""
        log = self._read(bucket)
        if self.core_items is not None:
            log = core_pass(log, self.core_items, self.options.min_user_items)
        return cap(log, self.options.max_user_items)

    @property
    def buckets(self) -> range:
        return range(self.n_buckets)

    def _count_clean(self) -> int:
        """Interactions before the k-core and the cap."""
        return sum(
            pl.scan_parquet(self._clean_file(b), glob=False).select(pl.len()).collect().item() for b in self.buckets
        )

    def _enough_users(self, counts: pl.DataFrame) -> pl.Series:
        return counts.filter(pl.col("n_users") >= self.options.min_item_users)["item_id"]

    def _read(self, bucket: int) -> pl.DataFrame:
        return pl.read_parquet(self._clean_file(bucket), glob=False)

    def _cut_folder(self, number: int) -> Path:
        return self.folder / f"cut-{number:06d}"

    def _clean_file(self, bucket: int) -> Path:
        return self.clean_folder / f"{bucket:05d}-clean.parquet"
