"""A small prepared work directory for the tests of the stages after `fuse`."""

from __future__ import annotations

import json
import random
from pathlib import Path

import polars as pl

from llmi2i_cli.__main__ import main
from llmi2i_cli.artifacts.schemas import FUSED
from llmi2i_cli.files.tables import write_table

N_ITEMS = 40


def run(*arguments: object) -> int:
    """Run the command line; its exit status."""
    return main([str(argument) for argument in arguments])


def answer(capsys, *arguments: object):
    """What a command prints with --json."""
    capsys.readouterr()
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def write_log(path: Path, *, seed: int = 0, n_users: int = 80) -> None:
    """Users walk along one of four shelves of ten items each, with noise: what follows can be told from what was."""
    rng = random.Random(seed)
    lines = []
    for user in range(n_users):
        shelf, place = rng.randrange(4), rng.randrange(10)
        items = []
        for _ in range(rng.randrange(4, 9)):
            place = (place + rng.choice((1, 1, 2))) % 10
            items.append(f"i{10 * shelf + place}" if rng.random() > 0.15 else f"i{rng.randrange(N_ITEMS)}")
        lines.append(f"u{user} {' '.join(items)}\n")
    path.write_text("".join(lines))


def write_items(path: Path) -> None:
    path.write_text("item_id,title\n" + "".join(f"i{item},Title {item}\n" for item in range(N_ITEMS)))


def prepare_shop(folder: Path, *options: object) -> Path:
    """A work directory with prepare/ done."""
    write_log(folder / "log.txt")
    write_items(folder / "items.csv")
    workdir = folder / "work"
    catalogue = ("--items", folder / "items.csv", "--tail-max-count", 10)
    assert run("prepare", folder / "log.txt", *catalogue, "-w", workdir, *options) == 0
    return workdir


def write_fused(workdir: Path) -> None:
    """The train rows, then for every second user a pseudo-user: the history and the next place on the shelf."""
    train = pl.read_parquet(workdir / "prepare/interactions.parquet").filter(split="train").drop("split")
    real = train.with_columns(source=pl.lit("real"), weight=pl.lit(1.0), origin_user_id=pl.col("user_id"))
    parts = [real]
    for number, (name, rows) in enumerate(train.group_by("user_id", maintain_order=True)):
        if number % 2:
            continue
        last = int(rows["item_id"][-1][1:])
        added = pl.DataFrame({"item_id": [f"i{last // 10 * 10 + (last + 1) % 10}"], "timestamp": [99]})
        history = rows.select("item_id", "timestamp").with_columns(source=pl.lit("copied"), weight=pl.lit(1.0))
        pseudo = pl.concat([history, added.with_columns(source=pl.lit("synthetic"), weight=pl.lit(0.5))])
        parts.append(pseudo.with_columns(user_id=pl.lit(f"{name[0]}~1"), origin_user_id=pl.lit(name[0])))
    (workdir / "fuse").mkdir(exist_ok=True)
    table = pl.concat([part.select(pl.col(c).cast(t) for c, t in FUSED.items()) for part in parts])
    write_table(table, workdir / "fuse/interactions.parquet", FUSED)
