"""The command `llmi2i train-i2i`; the models' own options come from their table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.cli.declared import with_options
from llmi2i_cli.cli.options import WORKDIR, AsJson, Data, Force, I2IModel, Ray, Workdir
from llmi2i_cli.cli.printing import print_json, print_table

DENSE = ", ".join(row.label for row in MODELS.values() if row.dense)


@with_options({row.label: row.options for row in MODELS.values()})
def train_i2i(
    workdir: Workdir = WORKDIR,
    model: I2IModel = "swing",
    data: Data = "real",
    top_k: Annotated[int, typer.Option(help="Neighbours kept per item.", min=1)] = 200,
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose the model's options by Recall@10 on the validation split.")
    ] = False,
    search: Annotated[
        Literal["exact", "faiss"],
        typer.Option(help=f"{DENSE}: how neighbours are found; faiss is for a million items and more."),
    ] = "exact",
    ray: Ray = None,
    force: Force = False,
    as_json: AsJson = False,
    **model_options: Any,
) -> None:
    """Train an item-to-item model on the real or the fused log.

    Example: llmi2i train-i2i --model swing --data real --tune -w work
    """
    from llmi2i_cli.stages.train_i2i import train_i2i

    manifest = train_i2i(
        workdir,
        model=model,
        data=data,
        top_k=top_k,
        tune=tune,
        search=search,
        model_options={name: value for name, value in model_options.items() if value is not None},
        ray=ray,
        force=force,
    )
    result = {"model": model, "data": data, **{key: manifest[key] for key in ("choice", "validation_recall_at_10")}}
    if as_json:
        print_json(result)
        return
    recall = result["validation_recall_at_10"]
    rows = [*manifest["choice"].items(), *([("validation recall@10", f"{recall:.4f}")] if recall is not None else [])]
    rows.append(("neighbours", manifest["outputs"][f"{model}-{data}.parquet"]["rows"]))
    print_table(f"{model} on the {data} log", ("option", "value"), rows, numeric=("value",))
