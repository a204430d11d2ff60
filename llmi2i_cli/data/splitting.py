"""How the buckets of a log are split: a function for each, from options and, for a split by days, the whole log."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from llmi2i_cli.choices.preparation import SplitOptions
from llmi2i_cli.data.bucketed_log import BucketedLog
from llmi2i_cli.data.splits import EvalUsers, LastDay, leave_last_two, only_targets, split_none, train_up_to
from llmi2i_cli.data.times import Clock

AssignSplits = Callable[[pl.DataFrame], pl.DataFrame]


def splitter(log: BucketedLog, options: SplitOptions, clock: Clock | None) -> AssignSplits:
    """The function that adds the column split to a bucket; for a split by days it first looks at all of them.

    Where the log has a split of its own, that is left as it is.
    """
    scheme, sample = _scheme(log, options, clock), None
    if options.eval_users is not None:
        sample = EvalUsers(options.eval_users, options.seed)
        for bucket in log.buckets:
            sample.add(only_targets(scheme(log.bucket(bucket))))

    def assign(rows: pl.DataFrame) -> pl.DataFrame:
        fitted = only_targets(train_up_to(scheme(rows), options.to_split))
        return fitted if sample is None else sample.keep(fitted)

    return assign


def _scheme(log: BucketedLog, options: SplitOptions, clock: Clock | None) -> AssignSplits:
    if "split" in log.schema:
        return lambda rows: rows
    if options.split == "none":
        return split_none
    if options.split == "leave-last-two":
        return leave_last_two
    assert clock is not None  # formats without times were refused
    clock.require_moments()
    return LastDay.of(max(_latest(log)), clock.unit).split


def _latest(log: BucketedLog) -> Iterator[int]:
    for bucket in log.buckets:
        latest = log.bucket(bucket)["timestamp"].max()
        if isinstance(latest, int):
            yield latest
