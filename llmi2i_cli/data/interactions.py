"""Inputs of any format as one stream of interactions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from llmi2i_cli.choices.formats import InputFormat
from llmi2i_cli.choices.preparation import PrepareOptions, Split
from llmi2i_cli.data.columns import ITEM_NAMES, TIME_NAMES, USER_NAMES, require_column
from llmi2i_cli.data.formats import open_table
from llmi2i_cli.data.partitions import PartitionedTable
from llmi2i_cli.data.splits import SPLITS
from llmi2i_cli.data.table_file import TableFile
from llmi2i_cli.data.values import TimesSeen, ids, names, require_among, times
from llmi2i_cli.data.weighing import Weighing
from llmi2i_cli.files.places import Place


@dataclass(frozen=True)
class LogReader:
    """Reads interactions out of log files, by the options of `prepare`.

    Interactions are user_id, item_id (String), timestamp (Int64); beside them

    - weight (Float32), above 0, where the options weigh them,
    - split (String: train, valid or test), where the options or the files tell it,
    - is_target (Boolean), whether it may be held out, where the options name events for that.
    """

    options: PrepareOptions = field(default_factory=PrepareOptions)
    has_split_files: bool = False

    @property
    def schema(self) -> dict[str, type[pl.DataType]]:
        """The columns of `chunks`."""
        some = {
            "weight": (pl.Float32, self.options.read.are_weighted),
            "split": (pl.String, self.options.split.split_column is not None or self.has_split_files),
            "is_target": (pl.Boolean, bool(self.options.split.target_event)),
        }
        always = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
        return {**always, **{name: dtype for name, (dtype, asked) in some.items() if asked}}

    def chunks(self, path: Place, form: InputFormat, split: Split = "train") -> Iterator[pl.DataFrame]:
        """Yield a file's interactions in its order, without those that weigh nothing or are rated too low.

        The timestamp is null in every row of a format without times, and in no row of another.

        Parameters
        ----------
        path : directories on it (``dt=2026-11-20``) are columns where the options name them
        split : what the file's interactions are, where files tell it

        Raises
        ------
        InputError : the file is unreadable, a column missing or of the wrong type, or a value missing or wrong
        """
        read, table = self.options.read, PartitionedTable(open_table(path, form), self.options.named_columns.values())

        def column(usual: Sequence[str], asked: str | None, option: str) -> str:
            return require_column(table, usual, asked if form.has_named_columns else None, option)

        user = column(USER_NAMES, read.user_column, "--user-column")
        item = column(ITEM_NAMES, read.item_column, "--item-column")
        time = column(TIME_NAMES, read.time_column, "--time-column") if form.has_times else None
        own = [column((), name, "--split-column")] if (name := self.options.split.split_column) else []
        weighing = Weighing(table, read)
        seen = TimesSeen(None if read.time_unit == "auto" else read.time_unit)
        of_ids = dict.fromkeys((user, item))
        others = dict.fromkeys((*([time] if time else []), *own, *weighing.columns))
        for chunk in table.chunks(list(of_ids), [name for name in others if name not in of_ids]):
            weights, rows = None, chunk
            if read.leave_out:  # before the rest is looked at: what is left out may lack an item
                counts = weighing.weights(chunk)
                weights, rows = counts.filter(counts > 0), chunk.filter(counts > 0)
            users = ids(table, rows, user, "--user-column")
            items = ids(table, rows, item, "--item-column")
            found = pl.DataFrame({"user_id": users, "item_id": items}).with_columns(
                timestamp=times(table, rows, time, seen) if time else None,
                weight=weights,
                split=_splits(table, rows, own[0]) if own else pl.lit(split),
                is_target=self._are_targets(table, rows),
            )
            yield found.select(pl.col(name).cast(dtype) for name, dtype in self.schema.items())

    def _are_targets(self, table: TableFile, rows: pl.DataFrame) -> pl.Series | None:
        if not (targets := self.options.split.target_event):
            return None
        return names(table, rows, str(self.options.read.event_column), "--event-column").is_in(list(targets))


def _splits(table: TableFile, rows: pl.DataFrame, column: str) -> pl.Series:
    splits = names(table, rows, column, "--split-column")
    require_among(table, rows, column, splits, SPLITS, "it says train, valid or test")
    return splits
