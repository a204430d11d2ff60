"""The command `llmi2i train-i2i`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from llmi2i_cli.cli.options import WORKDIR, AsJson, Data, Force, I2IModel, Workdir
from llmi2i_cli.cli.printing import print_json, print_table


def train_i2i(
    workdir: Workdir = WORKDIR,
    model: I2IModel = "swing",
    data: Data = "real",
    top_k: Annotated[int, typer.Option(help="Neighbours kept of each item.", min=1)] = 200,
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose the model's options by Recall@10 on the validation split.")
    ] = False,
    search: Annotated[
        Literal["exact", "faiss"],
        typer.Option(help="BPR and YoutubeDNN: how neighbours are found; faiss is for a million items and more."),
    ] = "exact",
    smoothing: Annotated[
        float | None,
        typer.Option(help="Swing: added to the number of items that two users share.", show_default="5", min=0),
    ] = None,
    user_weight: Annotated[
        str | None,
        typer.Option(help="Swing: one, sqrt = 1/sqrt(n), or A:B = (A + n)^-B, n a user's items.", show_default="sqrt"),
    ] = None,
    max_user_items: Annotated[
        int | None,
        typer.Option(help="Swing: most recent interactions used of a user, 0 for all.", show_default="1000", min=0),
    ] = None,
    max_item_users: Annotated[
        int | None, typer.Option(help="Swing: users sampled of an item, 0 for all.", show_default="0", min=0)
    ] = None,
    normalise: Annotated[
        bool | None,
        typer.Option(
            "--normalise/--no-normalise", help="Swing: scale scores to at most 1 an item.", show_default="no-normalise"
        ),
    ] = None,
    k1: Annotated[float | None, typer.Option(help="BM25: K1, saturation.", show_default="1.2", min=0)] = None,
    b: Annotated[
        float | None, typer.Option(help="BM25: B, weight of the length.", show_default="0.75", min=0, max=1)
    ] = None,
    factors: Annotated[int | None, typer.Option(help="BPR: factors of an item.", show_default="100", min=1)] = None,
    regularization: Annotated[float | None, typer.Option(help="BPR: L2 penalty.", show_default="0.01", min=0)] = None,
    iterations: Annotated[int | None, typer.Option(help="BPR: passes over the log.", show_default="100", min=1)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="BPR and YoutubeDNN: learning rate.", show_default="0.1 and 0.001", min=0)
    ] = None,
    dimensions: Annotated[int | None, typer.Option(help="YoutubeDNN: of a vector.", show_default="64", min=1)] = None,
    negatives: Annotated[
        int | None, typer.Option(help="YoutubeDNN: random negatives a target.", show_default="128", min=1)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="YoutubeDNN: L2 penalty.", show_default="1e-5", min=0)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="YoutubeDNN: targets a step.", show_default="256", min=1)
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="YoutubeDNN: at most.", show_default="50", min=1)] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="YoutubeDNN: epochs without a better validation Recall@10 before it stops.", show_default="2", min=1
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Swing (its sample), BPR, YoutubeDNN: seed.", show_default="42, 2023, 2023", min=0),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train Swing, BM25, BPR or YoutubeDNN on the real or the fused log.

    Example: llmi2i train-i2i --model swing --data real --tune -w work
    """
    given = {
        "smoothing": smoothing,
        "user_weight": user_weight,
        "max_user_items": max_user_items,
        "max_item_users": max_item_users,
        "normalise": normalise,
        "k1": k1,
        "b": b,
        "factors": factors,
        "regularization": regularization,
        "iterations": iterations,
        "learning_rate": learning_rate,
        "dimensions": dimensions,
        "negatives": negatives,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "epochs": epochs,
        "patience": patience,
        "seed": seed,
    }
    from llmi2i_cli.stages.train_i2i import train_i2i

    manifest = train_i2i(
        workdir,
        model=model,
        data=data,
        top_k=top_k,
        tune=tune,
        search=search,
        model_options={name: value for name, value in given.items() if value is not None},
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
