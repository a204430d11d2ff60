"""Logs with hardly anything in them: one user, one item, users who all bought the same; taken through all stages."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import polars as pl

from tests.faults.children import Child, run
from tests.faults.place import Place
from tests.faults.verdicts import fell_short, leftovers

MODELS = ("swing", "bm25", "itemknn", "ease", "rp3beta", "bpr", "youtubednn", "next-item", "text", "blend")
FORMATS = ("parquet", "jsonl", "mmap", "elasticsearch", "vespa")
WITH_MODELS = 8  # every eighth case trains language models, which takes much longer than the rest
REMEDIES = ("run `llmi2i ", "leave out --", "use --", "Possible")


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case and what fell short in it, empty if it held."""
    rows = [
        (f"u{user}", f"i{rng.randrange(n_items)}", time)
        for n_items in [rng.randint(1, 3)]
        for user in range(rng.randint(1, 3))
        for time in range(rng.randint(1, 4))
    ]
    folder = place.scratch / "tiny"
    folder.mkdir()
    try:
        with_models = number % WITH_MODELS == WITH_MODELS - 1
        commands = _commands(folder / "log.csv", rng.choice(MODELS), rng.choice(FORMATS), with_models)
        return f"{commands[-3:]} {rows}", _taken_through(folder, rows, commands)
    finally:
        shutil.rmtree(folder)


def _commands(log: Path, model: str, form: str, with_models: bool) -> list[tuple[object, ...]]:
    of_models = [("sft-gen", "--epochs", 1), ("synthesize",), ("sft-disc", "--epochs", 1), ("filter",), ("fuse",)]
    table = ("--model", model, "--data", "fused" if with_models else "real")
    return [
        ("prepare", log),
        ("train-i2i", "--model", model),
        *(of_models if with_models else []),
        ("train-i2i", *table),
        ("evaluate", *table),
        ("export-index", *table, "--format", form),
        ("report",),
    ]


def _taken_through(folder: Path, rows: list[tuple[str, str, int]], commands: list[tuple[object, ...]]) -> str:
    workdir = folder / "work"
    lines = [f"{user},{item},{time}" for user, item, time in rows]
    (folder / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    for command in commands:
        ended = run(*command, "-w", workdir)
        if found := fell_short(ended):  # a model that does not read the log refuses the fused one
            return f"{command}: {found}"
        if ended.status and not any(remedy in ended.err for remedy in REMEDIES):
            return f"{command}: no remedy: {ended.err}"
    looked_at = Child(lambda: _look_at_tables(workdir, rows)).end()
    if looked_at.status:
        return looked_at.err
    left = [name for name in leftovers(workdir) if "sft-disc" not in name]  # its held-back generator may serve again
    return "left over: " + ", ".join(left) if left else ""


def _look_at_tables(workdir: Path, rows: list[tuple[str, str, int]]) -> int:
    """In a child: the log is as it was given, and items are neighbours of other items that there are; else 1."""
    log = pl.read_parquet(workdir / "prepare/interactions.parquet", columns=["user_id", "item_id", "timestamp"])
    assert sorted(log.rows()) == sorted(rows), log
    for table in workdir.glob("i2i/*-*.parquet"):
        for item, neighbour in pl.read_parquet(table, columns=["item_id", "neighbour_id"]).iter_rows():
            assert item != neighbour and {item, neighbour} <= {item for _, item, _ in rows}, (table, item, neighbour)
    return 0
