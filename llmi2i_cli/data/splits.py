"""Splitting a log into train, valid and test. Frames are whole users, oldest interaction first."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import polars as pl

from llmi2i_cli.choices.preparation import Split, Unit
from llmi2i_cli.data.times import TICKS_PER_DAY
from llmi2i_cli.data.user_runs import UserRuns

SPLITS: tuple[Split, ...] = ("train", "valid", "test")  # in the order of time


def split_none(log: pl.DataFrame) -> pl.DataFrame:
    """Everything is train."""
    return log.with_columns(split=pl.lit("train"))


def leave_last_two(log: pl.DataFrame) -> pl.DataFrame:
    """Each user's last interaction is test, the one before it valid; users with nothing before these are all train.

    Where a column is_target tells which interactions may be held out, it is the last two of these, or the only one.
    What lies between them, and behind, is test as well: `only_targets` leaves it out.
    """
    users = UserRuns.of(log)
    target = log["is_target"].to_numpy() if "is_target" in log.columns else np.ones(len(log), np.bool_)
    targets_to_come = users.still_to_come(target)  # this one counted
    is_held_out = target & (targets_to_come <= 2)
    is_train = users.so_far(is_held_out) == 0
    of_trained = users.so_far(is_train) > 0  # what is trained on comes first
    is_valid, is_test = is_held_out & (targets_to_come == 2) & of_trained, ~is_train & of_trained
    split = pl.when(pl.Series(is_valid)).then(pl.lit("valid")).when(pl.Series(is_test)).then(pl.lit("test"))
    return log.with_columns(split=split.otherwise(pl.lit("train")))


def only_targets(log: pl.DataFrame) -> pl.DataFrame:
    """Leave out what is held out and not a target; without a column is_target everything may be one."""
    return log.filter((pl.col("split") == "train") | pl.col("is_target")) if "is_target" in log.columns else log


def train_up_to(log: pl.DataFrame, split: Split) -> pl.DataFrame:
    """Turn the splits up to this one into train; later ones stay held out, the same interactions as ever."""
    fitted = SPLITS[: SPLITS.index(split) + 1]
    return log.with_columns(split=pl.when(pl.col("split").is_in(fitted)).then(pl.lit("train")).otherwise("split"))


@dataclass(frozen=True)
class LastDay:
    """The last calendar day (UTC) of a log is test, the day before it valid.

    Attributes
    ----------
    unit : what times count, since 1970
    day : number of the last day since 1970-01-01
    """

    unit: Unit
    day: int

    @classmethod
    def of(cls, latest: int, unit: Unit) -> LastDay:
        """The split of a log whose latest interaction has the time `latest`."""
        return cls(unit, latest // TICKS_PER_DAY[unit])

    def split(self, log: pl.DataFrame) -> pl.DataFrame:
        """Add the column split."""
        day = pl.col("timestamp") // TICKS_PER_DAY[self.unit]
        split = pl.when(day >= self.day).then(pl.lit("test")).when(day == self.day - 1).then(pl.lit("valid"))
        return log.with_columns(split=split.otherwise(pl.lit("train")))


class EvalUsers:
    """A random sample of users for each evaluation split; the held-out interactions of all others are dropped.

    So the paper's AEDS set is made: training on the days before, evaluation on a million random users of the day
    after. Only users with train interactions take part, since nothing can be recommended to the others. Each user has
    one random number, from the id and the seed, and the users with the smallest are taken: a user drawn for test who
    was active on the validation day is then mostly drawn for that as well.
    """

    def __init__(self, n_users: int, seed: int) -> None:
        self.n_users, self.seed = n_users, seed
        self.sample = pl.DataFrame(schema={"user_id": pl.String, "split": pl.String, "place": pl.UInt64})

    def add(self, log: pl.DataFrame) -> None:
        """Let the users of a split log take part."""
        trained = log.filter(pl.col("split") == "train").select("user_id").unique()
        held_out = log.filter(pl.col("split") != "train").select("user_id", "split").unique()
        candidates = held_out.join(trained, on="user_id", how="semi")
        places = pl.Series("place", [self._place(user) for user in candidates["user_id"]], pl.UInt64)
        everyone = pl.concat([self.sample, candidates.with_columns(places)])
        ordered = everyone.sort("split", "place", "user_id")
        self.sample = ordered.filter(pl.int_range(pl.len()).over("split") < self.n_users)

    def keep(self, log: pl.DataFrame) -> pl.DataFrame:
        """Drop the held-out interactions of users that were not drawn; call it when all users have taken part."""
        drawn = self.sample.select("user_id", "split", drawn=pl.lit(True))
        joined = log.join(drawn, on=["user_id", "split"], how="left", maintain_order="left")
        return joined.filter((pl.col("split") == "train") | pl.col("drawn")).drop("drawn")

    def _place(self, user: str) -> int:
        key = str(self.seed).encode()
        return int.from_bytes(hashlib.blake2b(user.encode(), digest_size=8, key=key).digest(), "little")
