"""What the stages that work on the whole log take in memory: peak, bytes a row, seconds.

    python -m tests.benchmarks.memory [--interactions N] [--users N] [--items N] [--threads N] [--part PART]

A simulated log of that size is prepared and taken through the stages without a language model; candidates of a user's
are made up. Each part is a process of its own, run once on the log and once on a tiny one, whose peak is what the
interpreter and the libraries take. Bytes a row are what the peak on the log is above that, by the rows of
``prepare/interactions.parquet`` (of ``fuse/interactions.parquet`` for what reads that), ids, users and items included.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from llmi2i_cli.__main__ import main as llmi2i
from tests.benchmarks import fair
from tests.benchmarks.own_process import in_own_process

TINY = (100, 50, 1000)
CANDIDATES = 5  # of a user
LOG, SCORED_PATH, FUSED = "prepare/interactions.parquet", "filter/scored.parquet", "fuse/interactions.parquet"


def prepare(workdir: Path) -> None:
    log, items = workdir / "log/interactions.parquet", workdir / "log/items.parquet"
    run("prepare", log, "--items", items, "--force", "-w", workdir)


def read_log(workdir: Path) -> None:
    from llmi2i_cli.artifacts.prepared import read_histories

    read_histories(workdir)


def fuse(workdir: Path) -> None:
    run("fuse", "--no-tune", "--force", "-w", workdir)


def read_fused_log(workdir: Path) -> None:
    from llmi2i_cli.artifacts.prepared import read_fused

    read_fused(workdir)


def bm25(workdir: Path) -> None:
    run("train-i2i", "--model", "bm25", "--force", "-w", workdir)


def swing(workdir: Path) -> None:
    run("train-i2i", "--model", "swing", "--max-item-users", 1000, "--force", "-w", workdir)


PARTS: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "prepare": ("`prepare`", LOG, prepare),
    "read": ("reading the log, as every stage does", LOG, read_log),
    "fuse": ("`fuse --no-tune`", LOG, fuse),
    "read-fused": ("reading the fused log", FUSED, read_fused_log),
    "bm25": ("`train-i2i --model bm25`", LOG, bm25),
    "swing": ("`train-i2i --model swing --max-item-users 1000`", LOG, swing),
}


def run(*arguments: object) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        status = llmi2i([str(argument) for argument in arguments])
    if status:
        raise RuntimeError(f"exit status {status}")


def make_log(workdir: Path, users: int, items: int, interactions: int) -> None:
    size = ("--users", users, "--items", items, "--interactions", interactions)
    run("simulate", workdir / "log", *size)
    prepare(workdir)
    make_up_candidates(workdir)


def make_up_candidates(workdir: Path) -> None:
    """A filter/scored.parquet with random different items for every user, half of them kept."""
    from llmi2i_cli.artifacts.prepared import read_item_ids, read_user_ids
    from llmi2i_cli.artifacts.schemas import SCORED
    from llmi2i_cli.files.tables import write_table

    user_ids, item_ids = read_user_ids(workdir), read_item_ids(workdir)
    rng = np.random.default_rng(0)
    n = len(user_ids) * CANDIDATES
    spread = np.arange(CANDIDATES) * (len(item_ids) // CANDIDATES)  # from a first one, so that no two are the same
    candidates = (rng.integers(0, len(item_ids), (len(user_ids), 1)) + spread) % len(item_ids)
    confidences = rng.random(n, np.float32)
    frame = pl.DataFrame(
        {
            "user_id": user_ids.gather(np.repeat(np.arange(len(user_ids)), CANDIDATES)),
            "item_id": item_ids.gather(candidates.ravel()),
            "rank": np.tile(np.arange(1, CANDIDATES + 1), len(user_ids)),
            "logprob": np.log(confidences),
            "label": pl.Series(["No", "Yes"]).gather(confidences >= 0.5),
            "confidence": confidences,
            "keep": confidences >= 0.5,
        }
    )
    (workdir / "filter").mkdir(exist_ok=True)
    write_table(frame, workdir / SCORED_PATH, SCORED)


def seconds_of(work: Callable[[Path], None], workdir: Path) -> float:
    start = time.perf_counter()
    work(workdir)
    return time.perf_counter() - start


def measured(parts: list[str], workdir: Path, tiny: Path, runs: int) -> Iterator[tuple[str, ...]]:
    for part in parts:
        what, table, work = PARTS[part]
        found = [in_own_process(seconds_of, work, workdir) for _ in range(runs)]
        seconds, peak = min(seconds for seconds, _ in found), max(peak for _, peak in found)
        _, empty = in_own_process(seconds_of, work, tiny)
        n_rows = pl.scan_parquet(workdir / table).select(pl.len()).collect().item()
        a_row = (peak - empty) * 2**20 / n_rows
        cells = (f"{n_rows:,}", str(fair.threads()), fair.CLOCK, f"{seconds:.1f}", f"{peak:,.0f}")
        yield what, *cells, f"{empty:,.0f}", f"{a_row:.0f}"


def main() -> None:
    parser = fair.parser(__doc__, PARTS, runs=1)
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the log is made and stays; one that is there is used")
    options = fair.parse(parser)
    with tempfile.TemporaryDirectory() as folder:
        workdir, tiny = (options.folder or Path(folder)) / "work", Path(folder) / "tiny"
        if not (workdir / SCORED_PATH).exists():
            in_own_process(make_log, workdir, options.users, options.items, options.interactions)
        in_own_process(make_log, tiny, *TINY)
        columns = ("what", "rows", "threads", "clock", "s", "peak MiB", "of a tiny log", "bytes a row")
        fair.print_table(columns, measured(options.part or list(PARTS), workdir, tiny, options.runs))


if __name__ == "__main__":
    main()
