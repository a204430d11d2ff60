"""Logs with hardly anything in them: one user, one item, users who all bought the same; taken through all stages."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import polars as pl

from tests.faults.children import run
from tests.faults.place import Place
from tests.faults.verdicts import fell_short, leftovers

MODELS = ("swing", "bm25", "itemknn", "ease", "rp3beta", "bpr", "youtubednn", "next-item", "text", "blend")
FORMATS = ("parquet", "jsonl", "mmap", "elasticsearch", "vespa")
REMEDIES = ("run `llmi2i ", "leave out --", "use --", "Possible")


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case and what fell short in it, empty if it held."""
    rows = [
        (f"u{user}", f"i{rng.randrange(n_items)}", time)
        for n_items in [rng.randint(1, 3)]
        for user in range(rng.randint(1, 3))
        for time in range(rng.randint(1, 4))
    ]
    model, form = rng.choice(MODELS), rng.choice(FORMATS)
    folder = place.scratch / "tiny"
    folder.mkdir()
    try:
        return f"{model} {form} {rows}", _taken_through(folder, rows, model, form)
    finally:
        shutil.rmtree(folder)


def _taken_through(folder: Path, rows: list[tuple[str, str, int]], model: str, form: str) -> str:
    log, workdir = folder / "log.csv", folder / "work"
    pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row").write_csv(log)
    commands = [
        ("prepare", log),
        ("sft-gen", "--epochs", 1),
        ("synthesize",),
        ("sft-disc", "--epochs", 1),
        ("filter",),
        ("fuse",),
        *(("train-i2i", "--model", model, "--data", data) for data in ("real", "fused")),
        ("evaluate", "--model", model, "--baseline", "real"),
        ("export-index", "--model", model, "--format", form),
        ("report",),
    ]
    for command in commands:
        ended = run(*command, "-w", workdir)
        if found := fell_short(ended, may_be=[0, 1]):
            return f"{command}: {found}"
        if ended.status and not any(remedy in ended.err for remedy in REMEDIES):
            return f"{command}: no remedy: {ended.err}"
    if sorted(_read(workdir / "prepare/interactions.parquet", "user_id", "item_id", "timestamp")) != sorted(rows):
        return "prepare has other interactions"
    pairs = _read(workdir / f"i2i/{model}-real.parquet", "item_id", "neighbour_id")
    if impossible := [pair for pair in pairs if pair[0] == pair[1] or not {*pair} <= {item for _, item, _ in rows}]:
        return f"neighbours {impossible}"
    left = [name for name in leftovers(workdir) if "sft-disc" not in name]  # its held-back generator may serve again
    return "left over: " + ", ".join(left) if left else ""


def _read(table: Path, *columns: str) -> list[tuple[object, ...]]:
    return pl.read_parquet(table).select(columns).rows() if table.exists() else []
