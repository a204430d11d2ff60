"""The table of forms that an index is exported in: one row each.

A further form is one file with a function that writes it, and one row here: ``--format``, its help, the manifests and
the status follow. A form that can be read back, too, can be compared (``llmi2i compare``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class IndexForm:
    """A row of the table.

    Attributes
    ----------
    name : as in ``--format NAME``, and the ending of its file or directory
    about : what it is, in a few words
    write : dotted path of the function ``(path, neighbours, item_ids) -> rows written``, None for what has no rows
    read : dotted path of the function ``(path) -> ExportedIndex``; None: it cannot be read back
    """

    name: str
    about: str
    write: str
    read: str | None = None

    @property
    def ending(self) -> str:
        return f".{self.name}"


INDEX_FORMS: Mapping[str, IndexForm] = {
    row.name: row
    for row in (
        IndexForm(
            "parquet",
            "a row per neighbour",
            "llmi2i_cli.i2i.neighbour_table:write_neighbours",
            "llmi2i_cli.i2i.exported_index:read_parquet",
        ),
        IndexForm(
            "jsonl",
            "an item per line with its neighbours and scores",
            "llmi2i_cli.i2i.index_lines:write_json_lines",
            "llmi2i_cli.i2i.exported_index:read_json_lines",
        ),
        IndexForm(
            "mmap",
            "a directory of memory-mapped arrays that opens at once",
            "llmi2i_cli.i2i.served_index:write_served_index",
            "llmi2i_cli.i2i.exported_index:read_mapped",
        ),
        IndexForm(
            "elasticsearch",
            "the body of a bulk request to Elasticsearch or OpenSearch",
            "llmi2i_cli.i2i.index_lines:write_bulk",
        ),
        IndexForm("vespa", "a feed of documents", "llmi2i_cli.i2i.index_lines:write_vespa_feed"),
    )
}
