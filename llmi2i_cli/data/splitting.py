"""How the buckets of a log are split: a function for each, from options and, for a split by days, the whole log."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from llmi2i_cli.choices.preparation import SplitOptions, Unit
from llmi2i_cli.data.bucketed_log import BucketedLog
from llmi2i_cli.data.splits import EvalUsers, LastDay, leave_last_two, split_none, train_up_to

AssignSplits = Callable[[pl.DataFrame], pl.DataFrame]


def splitter(log: BucketedLog, options: SplitOptions, unit: Unit | None) -> AssignSplits:
    """The function that adds the column split to a bucket; for a split by days it first looks at all of them."""
    scheme, sample = _scheme(log, options, unit), None
    if options.eval_users is not None:
        sample = EvalUsers(options.eval_users, options.seed)
        for bucket in log.buckets:
            sample.add(scheme(log.bucket(bucket)))

    def assign(rows: pl.DataFrame) -> pl.DataFrame:
        fitted = train_up_to(scheme(rows), options.to_split)
        return fitted if sample is None else sample.keep(fitted)

    return assign


def _scheme(log: BucketedLog, options: SplitOptions, unit: Unit | None) -> AssignSplits:
    if options.split == "none":
        return split_none
    if options.split == "leave-last-two":
        return leave_last_two
    assert unit is not None  # formats without times were refused
    return LastDay.of(max(_latest(log)), unit).split


def _latest(log: BucketedLog) -> Iterator[int]:
    for bucket in log.buckets:
        latest = log.bucket(bucket)["timestamp"].max()
        if isinstance(latest, int):
            yield latest
