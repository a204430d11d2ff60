"""`llmi2i export-index`: write the item -> top-K index in the forms that serving engines load."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.choices.index_forms import INDEX_FORMS
from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.rules import NO_RULES, RuleOptions
from llmi2i_cli.publishing.rule_files import filling_paths, rule_files
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
    rules: RuleOptions = NO_RULES,
    force: bool = False,
) -> list[dict[str, Any]]:
    """Write ``index/MODEL-DATA.FORMAT`` for each format; returns one manifest each.

    Parameters
    ----------
    formats : rows of `choices.index_forms`
    top_k : neighbours per item; None is all that were trained
    rules : what may be whose neighbour
    """

    @functools.cache  # the forms share it, and none needs it where all are up to date
    def exported() -> tuple[Neighbours, pl.Series]:
        from llmi2i_cli.artifacts.prepared import read_item_ids
        from llmi2i_cli.publishing.ruled_neighbours import ruled_neighbours

        item_ids = read_item_ids(workdir)
        return ruled_neighbours(workdir, model, data, item_ids, top_k=top_k, options=rules), item_ids

    manifests = []
    for form in dict.fromkeys(formats):
        with stage_run(
            workdir,
            "export-index",
            options={"top_k": top_k, **rules.given()},
            variant={"model": model, "data": data, "format": form},
            files=rule_files(workdir, rules),
            also_reads=filling_paths(rules, data),
            resumable=False,
            force=force,
        ) as run:
            if run.up_to_date and run.manifest:
                notice(f"export-index: {model}-{data}.{form} is up to date ({run.folder})")
                manifests.append(run.manifest)
                continue
            neighbours, item_ids = exported()
            path = run.output("{model}-{data}.{format}")
            n_rows = load(INDEX_FORMS[form].write)(path, neighbours, item_ids)
            rows = {} if n_rows is None else {path.name: n_rows}
            manifests.append(run.publish(rows=rows, items=neighbours.n_items, top_k=neighbours.k))
    return manifests
