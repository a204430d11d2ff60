"""Columns that stand in a file's path, as Hive, Spark and Athena write them: ``dt=2026-11-20/part-0.parquet``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote

import polars as pl

from llmi2i_cli.data.table_file import TableFile
from llmi2i_cli.files.places import Place

NULL = "__HIVE_DEFAULT_PARTITION__"


def partitions_of(path: Place) -> dict[str, str | None]:
    """The values that the directories of a path tell, by column."""
    pairs = (part.split("=", 1) for part in path.parent.parts if "=" in part)
    return {name: None if value == NULL else unquote(value) for name, value in pairs if name}


class PartitionedTable:
    """A table with the columns of its path that are asked for and that its file does not have, as text."""

    def __init__(self, table: TableFile, asked: Iterable[str]) -> None:
        self.table, self.path, self.row_word = table, table.path, table.row_word
        wanted, found = set(asked) - set(table.columns), partitions_of(table.path)
        self._told: Mapping[str, str | None] = {name: value for name, value in found.items() if name in wanted}
        self.columns = [*table.columns, *self._told]

    def chunks(self, ids: Sequence[str], others: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """See `TableFile.chunks`."""
        told = [pl.lit(value, pl.String).alias(name) for name, value in self._told.items() if name in (*ids, *others)]
        for chunk in self.table.chunks(self._of_file(ids), self._of_file(others)):
            yield chunk.with_columns(told)

    def _of_file(self, columns: Sequence[str]) -> list[str]:
        return [name for name in columns if name not in self._told]
