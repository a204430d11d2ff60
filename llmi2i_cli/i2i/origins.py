"""Where items' neighbours come from: shares of each score, by what it was made from, and who has both items.

A blend's score is a sum over its parts, so each part has a share of it; any other table is its own only part. What a
part reads names its share: ``counts`` (the log), ``text``, ``vectors`` or ``llm`` (the trained generator). On the
fused log the share of the counts is shared out once more, by the weights of the users and pseudo-users who have both
items: where one of the two was generated, the LLM made the pair, and its part is ``llm``. This is an attribution by
pairs: a model need not count all pairs alike, and a neighbour that nobody has beside the item counts as ``counts``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from llmi2i_cli.artifacts.indices import unknown_item
from llmi2i_cli.artifacts.prepared import FUSED_LOG, LOG
from llmi2i_cli.artifacts.schemas import collect_artifact, scan_artifact
from llmi2i_cli.choices.blends import weights_of
from llmi2i_cli.choices.models import MODELS, SHARES, TableName, parts_of
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.runs.manifests import input_changes, read_manifest

NEIGHBOUR = ("neighbour_id", "title", "score", "shares", "users", "generated", "rank_in_other")


def compare_neighbours(
    workdir: Path, item_ids: Sequence[str], *, before: TableName, after: TableName, top_n: int
) -> list[dict[str, Any]]:
    """Items' neighbours in one table beside those in another.

    Returns
    -------
    for each item ``{"item_id", "title", "train_count", "before": [...], "after": [...]}``, each list the `top_n` best
    neighbours, best first, as ``{"item_id", "title", "score", "shares", "users", "generated", "rank_in_other"}``:
    ``shares`` sum to 1, ``users`` is how many users have both items in the train split, ``generated`` the summed
    weights of the pairs that the LLM made, and ``rank_in_other`` the place in the whole other list, None outside it

    Raises
    ------
    InputError : an item is not in the catalogue
    ArtifactError : a table is missing, or what it was made from has changed since
    """
    items = collect_artifact(
        scan_artifact(workdir, "prepare/items.parquet").select("item_id", "title", "train_count"),
        workdir,
        "prepare/items.parquet",
    )
    about = {row["item_id"]: row for row in items.filter(pl.col("item_id").is_in(list(item_ids))).iter_rows(named=True)}
    if unknown := [item_id for item_id in item_ids if item_id not in about]:
        raise unknown_item(unknown[0])
    tables = {"before": before, "after": after}
    read = {name: _read_rows(workdir, table, item_ids) for name, table in tables.items()}
    found: dict[str, dict[str, list[dict[str, Any]]]] = {each: {} for each in item_ids}
    for name, other in (("before", "after"), ("after", "before")):
        in_other = read[other].select("item_id", "neighbour_id", rank_in_other="rank")
        titles = items.select(neighbour_id="item_id", title="title")
        rows = (
            _explained(workdir, tables[name], read[name].filter(pl.col("rank") <= top_n), item_ids)
            .join(in_other, on=["item_id", "neighbour_id"], how="left")
            .join(titles, on="neighbour_id", how="left")
            .sort("item_id", "rank")
        )
        for item_id in item_ids:
            of_item = rows.filter(item_id=item_id).select(NEIGHBOUR).rename({"neighbour_id": "item_id"})
            found[item_id][name] = of_item.to_dicts()
    return [{**about[item_id], **found[item_id]} for item_id in item_ids]


def bought_together(workdir: Path, data: str, item_ids: Sequence[str]) -> pl.DataFrame:
    """Who has items beside each of `item_ids`: item_id, neighbour_id, users, recorded, generated.

    ``users`` counts the users of the train split who have both. In the log that `data` names, ``recorded`` sums the
    weights of the (pseudo-)users who have both from recorded interactions, ``generated`` of those who have at least
    one of the two from the LLM; a pair weighs the product of its two interactions.
    """
    path = LOG if data == "real" else FUSED_LOG
    log = scan_artifact(workdir, path)
    if data == "real":
        log = log.filter(split="train").with_columns(source=pl.lit("real"))
    weight = pl.col("weight").cast(pl.Float64) if "weight" in log.collect_schema() else pl.lit(1.0)
    log = log.select("user_id", "item_id", "source", weight=weight)
    is_anchor = pl.col("item_id").is_in(list(item_ids))
    users = log.filter(is_anchor).select("user_id").unique()
    rows = collect_artifact(log.join(users, on="user_id", how="semi"), workdir, path)
    rows = rows.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    pairs = rows.filter(is_anchor).join(rows, on="user_id").filter(pl.col("item_id") != pl.col("item_id_right"))
    weight = pl.col("weight") * pl.col("weight_right")
    sources = pl.concat_list("source", "source_right")
    is_generated, is_real = sources.list.contains("synthetic"), sources.list.unique().list.join("") == "real"
    return pairs.group_by("item_id", neighbour_id="item_id_right").agg(
        users=is_real.sum(), recorded=weight.filter(~is_generated).sum(), generated=weight.filter(is_generated).sum()
    )


def _explained(workdir: Path, table: TableName, rows: pl.DataFrame, item_ids: Sequence[str]) -> pl.DataFrame:
    """Add ``shares`` (a struct), ``users`` and ``generated`` to rows of a table."""
    keys = ["item_id", "neighbour_id"]
    rows = rows.join(bought_together(workdir, table.data, item_ids), on=keys, how="left").with_columns(
        pl.col("users", "recorded", "generated").fill_null(0)
    )
    by_share: dict[str, pl.Expr] = {}
    made = pl.col("generated") / (pl.col("generated") + pl.col("recorded"))  # NaN for nobody
    for number, (part, weight) in enumerate(_parts(workdir, table)):
        column = f"part {number}"
        scores = _read_rows(workdir, part, item_ids).select(
            *keys, (pl.col("score").cast(pl.Float64).clip(0) * (weight / _scale(workdir, part))).alias(column)
        )
        rows = rows.join(scores, on=keys, how="left").with_columns(pl.col(column).fill_null(0))
        name_of_share = MODELS[part.model].share
        llm = (
            pl.when(made.is_finite() & (name_of_share == "counts")).then(made).otherwise(float(name_of_share == "llm"))
        )
        for name, share in ((name_of_share, pl.col(column) * (1 - llm)), ("llm", pl.col(column) * llm)):
            by_share[name] = by_share[name] + share if name in by_share else share
    total = pl.sum_horizontal(by_share.values())
    named = [(by_share[name] / total).alias(name) for name in SHARES.values() if name in by_share]
    return rows.with_columns(shares=pl.struct(named))


def _parts(workdir: Path, table: TableName) -> list[tuple[TableName, float]]:
    """The tables that a table is a sum of, with their weights. ArtifactError if they are not known, or have changed."""
    model, data = table
    path = workdir / "i2i" / f"{model}-{data}.manifest.json"
    manifest = read_manifest(path)
    remedy = f"run `llmi2i train-i2i --model {model} --data {data} -w {workdir} --force`"
    if manifest is None:
        raise ArtifactError(f"{path} is missing or damaged, so nobody knows where neighbours come from: {remedy}")
    if change := input_changes(manifest, workdir):
        raise ArtifactError(f"{table.path} was made from other files ({change}): {remedy}")
    choice = manifest["choice"]
    parts = parts_of(model, choice, data)
    if not parts:
        return [(table, 1.0)]
    weights = weights_of(choice["parts"], choice["weights"])
    return [(TableName(*part), weight) for part, weight in zip(parts, weights, strict=True)]


def _read_rows(workdir: Path, table: TableName, item_ids: Sequence[str]) -> pl.DataFrame:
    """The rows of some items in a table of neighbours."""
    rows = scan_artifact(workdir, table.path).filter(pl.col("item_id").is_in(list(item_ids)))
    return collect_artifact(rows, workdir, table.path)


def _scale(workdir: Path, table: TableName) -> float:
    """What a blend divides the table's scores by: the mean of its rows' best, of those above 0; 1 without any."""
    best = scan_artifact(workdir, table.path).filter((pl.col("rank") == 1) & (pl.col("score") > 0))
    mean = collect_artifact(best, workdir, table.path)["score"].cast(pl.Float64).mean()
    return float(mean) if isinstance(mean, float) else 1.0
