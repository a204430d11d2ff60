"""`llmi2i export-index`: write the item -> top-K index in the forms that serving engines load."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import stage_run

if TYPE_CHECKING:
    import polars as pl

    from llmi2i_cli.i2i.neighbours import Neighbours


def export_index(
    workdir: Path,
    *,
    model: str = "swing",
    data: str = "real",
    top_k: int | None = None,
    formats: Sequence[str] = ("parquet",),
    force: bool = False,
) -> list[dict[str, Any]]:
    """Write ``index/MODEL-DATA.FORMAT`` for each format; returns one manifest each.

    - parquet: one row a neighbour, with the columns of ``i2i/MODEL-DATA.parquet``
    - jsonl: one item a line, ``{"item_id": "a", "neighbour_ids": ["b", ...], "scores": [0.5, ...]}``, best first
    - mmap: a directory of memory-mapped arrays that opens at once, see `llmi2i_cli.i2i.served_index`

    Parameters
    ----------
    top_k : neighbours an item; None is all that were trained
    """
    manifests = []
    for form in dict.fromkeys(formats):
        variant = {"model": model, "data": data, "format": form}
        options = {"top_k": top_k}
        with stage_run(workdir, "export-index", options=options, variant=variant, resumable=False, force=force) as run:
            if run.up_to_date and run.manifest:
                notice(f"export-index: {model}-{data}.{form} is up to date ({run.folder})")
                manifests.append(run.manifest)
                continue
            from llmi2i_cli.artifacts.prepared import read_item_ids
            from llmi2i_cli.i2i.neighbour_table import read_neighbours

            item_ids = read_item_ids(workdir)
            neighbours = read_neighbours(workdir, model, data, item_ids, top_k=top_k)
            path = run.output("{model}-{data}.{format}")
            n_rows = _write(path, form, neighbours, item_ids)
            rows = {} if n_rows is None else {path.name: n_rows}
            manifests.append(run.publish(rows=rows, items=neighbours.n_items, top_k=neighbours.k))
    return manifests


def _write(path: Path, form: str, neighbours: Neighbours, item_ids: pl.Series) -> int | None:
    """Write one form; returns its rows, None for what has no rows."""
    from llmi2i_cli.i2i.neighbour_table import write_json_lines, write_neighbours
    from llmi2i_cli.i2i.served_index import write_served_index

    if form == "parquet":
        return write_neighbours(path, neighbours, item_ids)
    if form == "jsonl":
        return write_json_lines(path, neighbours, item_ids)
    shutil.rmtree(path, ignore_errors=True)  # what a killed run has left
    write_served_index(path, neighbours, item_ids)
    return None
