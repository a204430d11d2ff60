"""The command `llmi2i export-index`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from llmi2i_cli.choices.index_forms import INDEX_FORMS
from llmi2i_cli.cli.options import WORKDIR, AsJson, Data, Force, I2IModel, Workdir
from llmi2i_cli.cli.printing import print_json, print_table

# A Literal cannot be repeated on the command line.
IndexFormat = StrEnum("IndexFormat", {form: form for form in INDEX_FORMS})  # type: ignore[misc]
FORMS = "; ".join(f"{form.name}: {form.about}" for form in INDEX_FORMS.values())


def export_index(
    workdir: Workdir = WORKDIR,
    model: I2IModel = "swing",
    data: Data = "real",
    top_k: Annotated[
        int | None, typer.Option(help="Neighbours of each item.", show_default="all that were trained", min=1)
    ] = None,
    format: Annotated[
        list[IndexFormat] | None,
        typer.Option(help=f"Form of the index. Repeatable. {FORMS}.", show_default="parquet"),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the item -> top-K index to serve: index/MODEL-DATA.parquet, .jsonl or .mmap/.

    Example: llmi2i export-index --model swing --data real --format jsonl --format mmap -w work
    """
    from llmi2i_cli.stages.export_index import export_index

    formats = [form.value for form in format] if format else ["parquet"]
    manifests = export_index(workdir, model=model, data=data, top_k=top_k, formats=formats, force=force)
    rows = [
        {"path": str(workdir / "index" / f"{model}-{data}.{form}"), "items": found["items"], "top_k": found["top_k"]}
        for form, found in zip(dict.fromkeys(formats), manifests, strict=True)
    ]
    if as_json:
        print_json(rows)
        return
    columns = ("path", "items", "top_k")
    print_table("index", columns, [[row[c] for c in columns] for row in rows], numeric=columns[1:])
