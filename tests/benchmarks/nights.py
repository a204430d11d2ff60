"""What a night costs and gives: going on from an earlier generator against training anew, on simulated days.

    python -m tests.benchmarks.nights [--part training|append] [--users N --items N --interactions N --seed N]
        [--going-on-from first|before ...] [--epochs E ...] [--learning-rate RATE]

A simulated shop's log ends some days early; then night after night the next day is added, and a generator goes on
(`sft-gen --from`) from that of the first night or from that of the night before, once for each number of epochs, and
every few nights one is trained anew on the same log. A row a night: CPU seconds of the training (the machine may be
busy), steps, Recall@10 of the generator itself on test and on validation, and of the table with its candidates on
validation.

The part `append` takes the log's last day in as CSV, by `prepare --append` and by reading all files; beside it what
writing the result takes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch

from llmi2i_cli.__main__ import main as llmi2i

DAY_MS = 86_400_000


def days_of(log: Path, folder: Path, nights: int) -> list[Path]:
    """The log without its last days, and each of these days, as files in the order of time."""
    rows = pl.read_parquet(log).with_columns(day=pl.col("timestamp") // DAY_MS)
    last = int(rows["day"].max())  # type: ignore[arg-type]
    first_night = last - nights + 1
    parts = [rows.filter(pl.col("day") < first_night)]
    parts += [rows.filter(day=day) for day in range(first_night, last + 1)]
    files = [folder / f"day-{number}.parquet" for number in range(len(parts))]
    for part, file in zip(parts, files, strict=True):
        part.drop("day").write_parquet(file)
    return files


def run(*arguments: object) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        status = llmi2i([str(argument) for argument in arguments])
    if status:
        raise SystemExit(status)


def trained(workdir: Path, prepared: Sequence[object], *options: object) -> str:
    """Prepare and train in a work directory; what that cost and gave, as cells of a row."""
    from llmi2i_cli.files.documents import read_json

    run("prepare", *prepared, "-w", workdir)
    began = time.process_time()
    run("sft-gen", *options, "-w", workdir)
    seconds = time.process_time() - began
    run("evaluate", "--model", "generator", "-w", workdir)
    facts = read_json(workdir / "sft-gen/manifest.json")
    recall = read_json(workdir / "evaluate/generator-real-test.json")["metrics"]["all"]["recall@10"]
    on_valid = (facts["validation"][name] for name in ("valid_recall@10", "valid_recall@10_with_candidates"))
    return " | ".join((f"{seconds:.0f} s", f"{facts['steps_this_run']:,}", *map("{:.4f}".format, (recall, *on_valid))))


def written_again(prepared: Path, target: Path) -> tuple[float, float]:
    """Wall and CPU seconds of writing all tables and the kept log as they are: the least that a day takes."""
    from llmi2i_cli.files.tables import write_table

    tables = [pl.read_parquet(path) for path in prepared.rglob("*.parquet")]
    began, began_cpu = time.perf_counter(), time.process_time()
    for table in tables:
        write_table(table, target)
    return time.perf_counter() - began, time.process_time() - began_cpu


def append(folder: Path, files: list[Path], catalogue: Path) -> None:
    """Wall and CPU seconds of both ways and of writing alone, and the size of what is kept."""
    logs = [file.with_suffix(".csv") for file in files]
    for file, log in zip(files, logs, strict=True):
        pl.read_parquet(file).write_csv(log)
    size = pl.concat([pl.scan_parquet(file) for file in files]).select(pl.len()).collect().item()
    day = pl.scan_parquet(files[-1]).select(pl.len()).collect().item()
    print(
        f"{size:,} interactions, {day:,} of them on the last day; {sum(f.stat().st_size for f in logs):,} bytes of CSV"
    )
    work, whole = folder / "work", folder / "whole"
    run("prepare", "--append", *logs[:-1], "--items", catalogue, "-w", work)
    for way, command in (
        ("--append DAY", ("prepare", "--append", logs[-1], "-w", work)),
        ("all files", ("prepare", *logs, "--items", catalogue, "-w", whole)),
    ):
        began, began_cpu = time.perf_counter(), time.process_time()
        run(*command)
        print(f"{way}: {time.perf_counter() - began:.2f} s, {time.process_time() - began_cpu:.2f} s of CPU")
    print("writing alone: {:.2f} s, {:.2f} s of CPU".format(*written_again(work / "prepare", folder / "again.parquet")))
    for name in ("interactions.parquet", "items.parquet", "users.parquet"):
        if (work / "prepare" / name).read_bytes() != (whole / "prepare" / name).read_bytes():
            raise SystemExit(f"{name} differs")
    kept = sum(path.stat().st_size for path in (work / "prepare/log").iterdir())
    print(f"kept: {kept:,} bytes, interactions.parquet {(work / 'prepare/interactions.parquet').stat().st_size:,}")


def training(folder: Path, files: list[Path], catalogue: Path, asked: argparse.Namespace) -> None:
    """A table with a row per night and way."""
    items = ("--items", catalogue)
    print("night | way | training | steps | Recall@10 on test, generator | on validation | with candidates")
    print("--- | --- | --- | --- | --- | --- | ---")
    first = folder / "night-0"
    print("0 | anew |", trained(first, [files[0], *items]), flush=True)
    ways = list(itertools.product(asked.going_on_from, asked.epochs))
    earlier = dict.fromkeys(ways, first)
    for night in range(1, len(files)):
        prepared = [*files[: night + 1], *items]
        for base, n_epochs in ways:
            workdir = folder / f"night-{night}-{base}-{n_epochs:g}"
            how = ("--from", earlier[base, n_epochs], "--epochs", n_epochs, "--learning-rate", asked.learning_rate)
            print(f"{night} | {n_epochs:g} epochs from {base} |", trained(workdir, prepared, *how), flush=True)
            if base == "before":
                earlier[base, n_epochs] = workdir
        if night % asked.anew_every == 0 or night == len(files) - 1:
            print(f"{night} | anew |", trained(folder / f"night-{night}-anew", prepared), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("training", "append"), default="training")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--interactions", type=int, default=12_000)
    parser.add_argument("--nights", type=int, default=7)
    parser.add_argument("--anew-every", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--going-on-from", choices=("first", "before"), nargs="+", default=["first"])
    parser.add_argument("--epochs", type=float, nargs="+", default=[1.0])
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        size = ("--users", asked.users, "--items", asked.items, "--interactions", asked.interactions)
        run("simulate", folder / "shop", *size, "--seed", asked.seed)
        files = days_of(folder / "shop/interactions.parquet", folder, asked.nights)
        catalogue = folder / "shop/items.parquet"
        if asked.part == "append":
            append(folder, files, catalogue)
        else:
            training(folder, files, catalogue, asked)


if __name__ == "__main__":
    main()
