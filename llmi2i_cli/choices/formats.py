"""The table of input formats: one row each.

A further format is one file with a class or function that opens a path as a `data.table_file.TableFile`, and one row
here: ``--format``, its help, the reference and telling a file's format follow from it. Rows stand in the order in which
contents are tried, the most particular first: a sequence file is any text with spaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

AUTO = "auto"  # each file's format is told by its name and contents


@dataclass(frozen=True)
class InputFormat:
    """A row of the table.

    Attributes
    ----------
    name : as in ``--format NAME``
    about : what a file looks like, in a few words
    open : dotted path of what makes a `TableFile` of a path
    suffixes : endings of its logs' names, without ``.gz``
    item_suffixes, user_suffixes : endings of its files about items and about users, where they are not those of logs
    other_suffixes : endings of its files that are none of these, which are left out
    magic : bytes that every file begins with, whatever its name; empty where there are none
    recognises : dotted path of the function ``(first lines) -> bool`` that tells it by contents; None: by name alone
    has_named_columns : the file names its columns, so that options can name others, and it can describe items or users
    has_times : its interactions have times; else their order counts
    folder_log : where it is a folder and no file, the name of the folder in it that tells which of its files count
    folder_log_suffix : how a file of that folder is called
    item_fields : what describes an item in its catalogues; None is every column
    """

    name: str
    about: str
    open: str
    suffixes: tuple[str, ...] = ()
    item_suffixes: tuple[str, ...] = ()
    user_suffixes: tuple[str, ...] = ()
    other_suffixes: tuple[str, ...] = ()
    magic: bytes = b""
    recognises: str | None = None
    has_named_columns: bool = True
    has_times: bool = True
    folder_log: str = ""
    folder_log_suffix: str = ""
    item_fields: tuple[str, ...] | None = None

    @property
    def all_suffixes(self) -> tuple[str, ...]:
        return (*self.suffixes, *self.item_suffixes, *self.user_suffixes, *self.other_suffixes)


FORMATS: Mapping[str, InputFormat] = {
    row.name: row
    for row in (
        InputFormat(
            "parquet",
            "Parquet",
            "llmi2i_cli.data.parquet:ParquetFile",
            suffixes=(".parquet", ".pq"),
            magic=b"PAR1",
        ),
        InputFormat(
            "delta",
            "a folder with a Delta table",
            "llmi2i_cli.data.lakehouse:open_delta",
            folder_log="_delta_log",
            folder_log_suffix=".json",
        ),
        InputFormat(
            "iceberg",
            "a folder with an Iceberg table",
            "llmi2i_cli.data.lakehouse:open_iceberg",
            folder_log="metadata",
            folder_log_suffix=".metadata.json",
        ),
        InputFormat(
            "amazon",
            "Amazon's reviews and metadata of 2014, 2018 and 2023",
            "llmi2i_cli.data.amazon:open_amazon",
            suffixes=(".json", ".jsonl", ".ndjson"),
            recognises="llmi2i_cli.data.amazon:is_amazon",
            # The others are prices, ranks and pictures.
            item_fields=(
                *("brand", "store", "main_category", "main_cat", "category", "categories"),
                *("features", "feature", "description"),
            ),
        ),
        InputFormat(
            "jsonl",
            "a JSON object per line",
            "llmi2i_cli.data.json_lines:JsonLinesFile",
            suffixes=(".jsonl", ".ndjson", ".json"),
            recognises="llmi2i_cli.data.json_lines:is_json_lines",
        ),
        InputFormat(
            "recbole",
            "RecBole's atomic files",
            "llmi2i_cli.data.recbole:open_atomic",
            suffixes=(".inter",),
            item_suffixes=(".item",),
            user_suffixes=(".user",),
            other_suffixes=(".kg", ".link", ".net"),
            recognises="llmi2i_cli.data.recbole:is_atomic",
        ),
        InputFormat(
            "csv",
            "a header, then fields between commas, tabs, semicolons or bars",
            "llmi2i_cli.data.delimited:DelimitedFile",
            suffixes=(".csv", ".tsv"),
            recognises="llmi2i_cli.data.delimited:is_delimited",
        ),
        InputFormat(
            "sequences",
            "USER ITEM ITEM ... per line, oldest first",
            "llmi2i_cli.data.sequences:SequenceFile",
            recognises="llmi2i_cli.data.sequences:is_sequences",
            has_named_columns=False,
            has_times=False,
        ),
    )
}
