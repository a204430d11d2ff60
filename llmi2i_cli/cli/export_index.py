"""The command `llmi2i export-index`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import typer

from llmi2i_cli.choices.index_forms import INDEX_FORMS
from llmi2i_cli.choices.options import spelled
from llmi2i_cli.choices.redis_layouts import REDIS_LAYOUTS
from llmi2i_cli.choices.rules import RuleOptions
from llmi2i_cli.cli.declared import with_declared
from llmi2i_cli.cli.options import WORKDIR, AsJson, Data, Force, I2IModel, Workdir
from llmi2i_cli.cli.printing import print_json, print_table

# A Literal cannot be repeated on the command line.
IndexFormat = StrEnum("IndexFormat", {form: form for form in INDEX_FORMS})  # type: ignore[misc]
FORMS = "; ".join(f"{form.name}: {form.about}" for form in INDEX_FORMS.values())
LAYOUTS = "; ".join(f"{layout.name}: {layout.about}" for layout in REDIS_LAYOUTS.values())


@with_declared(RuleOptions)
def export_index(
    workdir: Workdir = WORKDIR,
    model: I2IModel = "swing",
    data: Data = "real",
    top_k: Annotated[
        int | None, typer.Option(help="Neighbours per item.", show_default="all that were trained", min=1)
    ] = None,
    format: Annotated[
        list[IndexFormat] | None,
        typer.Option(help=f"Form of the index. Repeatable. {FORMS}.", show_default="parquet, without --to"),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="Publish it to a Redis: redis://HOST:PORT/DB, or rediss:// for TLS. "
            "The password stands in the URL or in REDISCLI_AUTH."
        ),
    ] = None,
    layout: Annotated[
        Literal[*REDIS_LAYOUTS] | None,  # type: ignore[valid-type]
        typer.Option(help=f"How the neighbours of an item are stored in Redis; {LAYOUTS}.", show_default="zset"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What all keys in Redis begin with.", show_default="llmi2i:MODEL-DATA")
    ] = None,
    keep_seconds: Annotated[
        int | None,
        typer.Option(help="How long Redis keeps the version that was served before.", show_default="3600", min=1),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
    **rules: Any,
) -> None:
    """Write the item -> top-K index to serve: as files, index/MODEL-DATA.FORMAT, or into a Redis.

    Example: llmi2i export-index --model swing --data real --format jsonl --format mmap -w work
    """
    from llmi2i_cli.stages.export_index import export_index
    from llmi2i_cli.stages.publish_index import publish_index

    in_redis: dict[str, Any] = {
        name: value for name, value in (("layout", layout), ("name", name), ("keep_seconds", keep_seconds)) if value
    }
    if in_redis and not to:
        raise typer.BadParameter(f"{spelled(next(iter(in_redis)))} is for an index in Redis: add --to, or leave it out")
    formats = [form.value for form in format] if format else [] if to else ["parquet"]
    asked = {"model": model, "data": data, "top_k": top_k, "rules": RuleOptions(**rules), "force": force}
    manifests = export_index(workdir, formats=formats, **asked)
    rows = [
        {"path": str(workdir / "index" / f"{model}-{data}.{form}"), "items": found["items"], "top_k": found["top_k"]}
        for form, found in zip(dict.fromkeys(formats), manifests, strict=True)
    ]
    if to:
        published = publish_index(workdir, to, **in_redis, **asked)
        rows.append({"path": published["to"], "items": published["keys"], **published})
    if as_json:
        print_json(rows)
        return
    columns = ("path", "items", "top_k")
    print_table("index", columns, [[row[c] for c in columns] for row in rows], numeric=columns[1:])
