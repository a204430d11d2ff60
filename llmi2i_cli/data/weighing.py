"""What an interaction counts: by its event, by a column of weights, and nothing with too low a rating."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from llmi2i_cli.choices.preparation import ReadOptions
from llmi2i_cli.data.columns import RATING_NAMES, require_column
from llmi2i_cli.data.table_file import TableFile
from llmi2i_cli.data.values import names, numbers, refuse, require_among

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Weighing:
    """The weights of a table's rows: that of the event times that of the column; 0 where the rating is too low."""

    table: TableFile
    options: ReadOptions

    @cached_property
    def columns(self) -> list[str]:
        """What is read of the table. InputError when it has no such column."""
        asked = {"--event-column": self.options.event_column, "--weight-column": self.options.weight_column}
        found = [require_column(self.table, (), name, option) for option, name in asked.items() if name is not None]
        return [*found, *([self._rating] if self.options.min_rating is not None else [])]

    @cached_property
    def _rating(self) -> str:
        return require_column(self.table, RATING_NAMES, self.options.rating_column, "--rating-column")

    def weights(self, chunk: pl.DataFrame) -> pl.Series:
        """Float32 (n,), as they are kept, at least 0; 1 where nothing else is known.

        Raises
        ------
        InputError : an event without a weight, a negative weight, or a value that is missing or no number
        """
        weights = pl.repeat(1.0, len(chunk), dtype=pl.Float64, eager=True)
        if self.options.event_weight:
            weights = self._event_weights(chunk)
        if (column := self.options.weight_column) is not None:
            given = numbers(self.table, chunk, column, "--weight-column")
            refuse(self.table, chunk, column, ~given.is_between(0, LARGEST), "a weight is at least 0")
            weights = weights * given
        if self.options.min_rating is not None:
            ratings = numbers(self.table, chunk, self._rating, "--rating-column")
            weights = weights.set(ratings < self.options.min_rating, 0.0)
        return weights.cast(pl.Float32)

    def _event_weights(self, chunk: pl.DataFrame) -> pl.Series:
        column, known = str(self.options.event_column), self.options.event_weights
        events = names(self.table, chunk, column, "--event-column")
        why = "give it an --event-weight (0 leaves it out)"
        require_among(self.table, chunk, column, events, list(known), why)
        return events.replace_strict(known, return_dtype=pl.Float64)
