"""What the columns of a table may hold, and the check that they hold nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Column:
    """Type and values of a column; numbers are finite.

    Attributes
    ----------
    low, high : bounds of a number, which may be reached
    values : all that a text may be; empty: anything
    nullable : a value may be missing
    about : what a value means, in a few words
    """

    dtype: pl.DataType | type[pl.DataType]
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()
    nullable: bool = False
    about: str = ""

    @property
    def says(self) -> str:
        """What a value has to be, in words."""
        if self.values:
            return f"one of {', '.join(self.values)}"
        if self.low is not None and self.high is not None:
            return f"from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{self.low:g} or more"
        return "finite" if self.dtype.is_float() else "there"

    def wrong(self, name: str) -> pl.Expr:
        """The values of the column `name` that may not be."""
        column = pl.col(name)
        rules = [pl.lit(True)]
        if self.dtype.is_float():
            rules.append(column.is_finite())
        if self.low is not None:
            rules.append(column >= self.low)
        if self.high is not None:
            rules.append(column <= self.high)
        if self.values:
            rules.append(column.is_in(self.values))
        right = pl.all_horizontal(rules).fill_null(True)
        return column.filter(~(right & (self.nullable | column.is_not_null())))


def what_is_wrong(frame: pl.DataFrame, columns: Mapping[str, Column], key: Sequence[str] = ()) -> str | None:
    """The first thing that is wrong with the columns of `frame` that `columns` knows, in words, or None.

    Parameters
    ----------
    key : columns that no two rows share, looked at where `frame` has them all
    """
    known = [name for name, dtype in frame.schema.items() if name in columns and columns[name].dtype == dtype]
    for wrong in frame.select(columns[name].wrong(name).head(1).implode() for name in known):
        if len(values := wrong[0]):
            held = "nothing" if values[0] is None else repr(values[0])
            return f"column {wrong.name!r} holds {held}, where a value has to be {columns[wrong.name].says}"
    if key and set(key) <= set(known) and (twice := _first_twice(frame, key)):
        return "two rows have " + ", ".join(f"{name} {value!r}" for name, value in zip(key, twice, strict=True))
    return None


def _first_twice(frame: pl.DataFrame, key: Sequence[str]) -> tuple[str, ...] | None:
    """A key that two rows share. Hashes tell quickly that there is none; only where two are equal keys are compared."""
    hashes = pl.sum_horizontal(pl.col(name).hash(seed=place) for place, name in enumerate(key))
    if frame.select(hashes.n_unique()).item() == len(frame):
        return None
    return next(iter(frame.select(key).filter(pl.struct(key).is_duplicated()).head(1).iter_rows()), None)
