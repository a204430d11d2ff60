"""`llmi2i export-index`: write the item -> top-K index in the forms that serving engines load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.index_forms import INDEX_FORMS
from llmi2i_cli.choices.loading import load
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import stage_run


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

    Parameters
    ----------
    formats : rows of `choices.index_forms`
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
            n_rows = load(INDEX_FORMS[form].write)(path, neighbours, item_ids)
            rows = {} if n_rows is None else {path.name: n_rows}
            manifests.append(run.publish(rows=rows, items=neighbours.n_items, top_k=neighbours.k))
    return manifests
