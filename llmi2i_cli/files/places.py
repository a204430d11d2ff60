"""Where inputs lie: on the disk, in a cloud's store, or in the folder of a table. All answer the same questions."""

from __future__ import annotations

from pathlib import Path

from llmi2i_cli.files.cloud import CloudObject, find_object, is_url
from llmi2i_cli.files.table_folder import TableFolder, table_folder_at

Place = Path | CloudObject | TableFolder


def place_of(name: str, relative_to: Path) -> Place | None:
    """What a manifest calls by this name, as it is now; None when it is gone. OSError when that cannot be told."""
    if is_url(name):
        return find_object(name) or table_folder_at(name)
    path = relative_to / name  # an absolute name stays as it is
    if not path.is_dir():
        return path if path.exists() else None
    return table_folder_at(str(path))
