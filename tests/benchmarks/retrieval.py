"""How fast rankings are made and an index is opened: `python -m tests.benchmarks.retrieval [--users N] [--large N]`.

Prints, for a simulated BM25 index (Zipf popularity) and random histories:

- users a second of `retrieve` at M = 10, K = 200, against `recommend` of implicit's BM25 on the same model and threads;
- for a memory-mapped index of one million items x 200, in a process that has only the index: time to open it with its
  look-up ready; latency p50 and p99 of a single query, M = 10 and M = 100, item ids in, item ids out, on one thread, in
  wall time: in memory, with its records dropped from the system's cache before each query (an index that is larger
  than memory), and with all of it dropped (the first query of all); and the records that queries have looked up, in
  bytes and in whole pages, beside what the memory of the process has grown by.
"""

from __future__ import annotations

import argparse
import mmap
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from implicit.nearest_neighbours import BM25Recommender
from implicit.utils import ParameterWarning
from numba import get_num_threads
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.evaluation.retrieve import rank_one, retrieve
from llmi2i_cli.i2i.bm25 import bm25_neighbours
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.served_index import ServedIndex, write_served_index

K = 200
REPEATS = 3
QUERIES, COLD_QUERIES = 500, 200
MIB = 2**20
NPY_HEADER_BYTES = 128
RECORD_BYTES = K * 8  # an id and a score a neighbour


def zipf_log(n_users: int, n_items: int, length: int, seed: int = 0) -> Histories:
    """`length` interactions a user, items by Zipf's law."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, n_items + 1)
    items = rng.choice(n_items, size=n_users * length, p=popularity / popularity.sum()).astype(np.int32)
    return Histories(np.arange(n_users + 1, dtype=np.int64) * length, items, n_items)


def best_seconds(run: Callable[[], object]) -> float:
    """The shortest of `REPEATS` runs, after one that compiles."""
    run()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def throughput(n_users: int) -> None:
    log = zipf_log(n_users, 20_000, 10)
    neighbours = bm25_neighbours(log, top_k=K)
    user_items = csr_matrix((np.ones(len(log.items)), log.items, log.ptr), shape=(log.n_users, log.n_items))
    peer = BM25Recommender(K=K + 1, num_threads=get_num_threads())
    peer.fit(user_items, show_progress=False)
    users = np.arange(n_users)
    print(f"{n_users:,} users, {log.n_items:,} items, M = 10, K = {K}, {get_num_threads()} threads")
    for top_n in (10, 100):
        ours = best_seconds(partial(retrieve, neighbours, log, recent=10, top_n=top_n, exclude=log))
        theirs = best_seconds(partial(peer.recommend, users, user_items, N=top_n))
        print(
            f"  top {top_n}: {n_users / ours:,.0f} users a second; implicit's recommend {n_users / theirs:,.0f}; "
            f"ratio {theirs / ours:.2f}"
        )


def seconds_of(index: ServedIndex, query: list[str]) -> float:
    """How long a query takes from item ids to item ids."""
    start = time.perf_counter()
    rows = index.rows_of(query)
    found = index.neighbours(rows)
    places = np.arange(len(rows), dtype=np.int32)
    ids, _ = rank_one(found.ids, found.scores, index.tie_ranks, places, exclude=rows, top_n=100)
    index.item_ids(ids)
    return time.perf_counter() - start


def shown(seconds: list[float]) -> str:
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return f"p50 {p50:.3f} ms, p99 {p99:.3f} ms"


def write_index(path: Path, n_items: int) -> None:
    """Random neighbours and scores; item k of some order is called item-k."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, n_items, (n_items, K), dtype=np.int32)
    scores = np.sort(rng.random((n_items, K), dtype=np.float32), axis=1)[:, ::-1]
    item_ids = pl.Series("item_id", [f"item-{row:09d}" for row in rng.permutation(n_items)])
    write_served_index(path, Neighbours(ids, scores), item_ids)


def large_index(n_items: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, tiny = Path(folder) / "index.mmap", Path(folder) / "tiny.mmap"
        start = time.perf_counter()
        write_index(path, n_items)
        size = sum(file.stat().st_size for file in path.iterdir())
        print(
            f"{n_items:,} items x {K}: {size / MIB:,.0f} MiB, written in {time.perf_counter() - start:.1f} s",
            flush=True,
        )
        write_index(tiny, 300)
        drop_from_cache(*path.iterdir())
        command = [sys.executable, "-m", "tests.benchmarks.retrieval", "--serve", str(path), str(tiny)]
        subprocess.run(command, check=True)


def drop_from_cache(*files: Path) -> None:
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened)
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def unmap(*arrays: NDArray[Any]) -> None:
    """Let go of the pages that this process has mapped; a cached page that is in use cannot be dropped."""
    for array in arrays:
        array.base._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[union-attr]


def serve(path: Path, tiny: Path) -> None:
    """What a process that has only the index takes; an answer from a tiny one first, so that everything is compiled."""
    seconds_of(ServedIndex.open(tiny), [f"item-{row:09d}" for row in range(10)])
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = memory_mib()
    start = time.perf_counter()
    index = ServedIndex.open(path)
    index.rows_of(["item-000000000"])
    print(f"  opened, first look-up answered: {(time.perf_counter() - start) * 1e3:.1f} ms")
    rng = np.random.default_rng(1)
    queries = {
        recent: [[f"item-{row:09d}" for row in rng.integers(0, index.n_items, recent)] for _ in range(QUERIES)]
        for recent in (10, 100)
    }
    others: list[NDArray[Any]] = [index.tie_ranks, index.id_offsets, index.id_hashes, index.id_rows, index.id_text]
    asked: set[str] = set()
    for recent, some in queries.items():
        for query in some:
            seconds_of(index, query)
        asked.update(*some)
        page_mib = n_pages(index.rows_of(list(asked))) * mmap.PAGESIZE / MIB
        grown = ", ".join(f"{name} {value - before[name]:+,.0f}" for name, value in memory_mib().items())
        print(
            f"  after {QUERIES} queries, M = {recent}: {len(asked):,} records, "
            f"{len(asked) * index.records.itemsize / MIB:,.0f} MiB, in pages of {page_mib:,.0f} MiB; all else "
            f"{sum(array.nbytes for array in others) / MIB:,.0f} MiB; memory in MiB: {grown}"
        )
    for recent, some in queries.items():
        for query in some:
            seconds_of(index, query)
        print(f"  one query, M = {recent}, in memory: {shown([seconds_of(index, query) for query in some])}")
    for recent, some in queries.items():
        for name, arrays, files in (
            ("records from the disk", [index.records], [path / "neighbours.npy"]),
            ("all from the disk", [index.records, *others], list(path.iterdir())),
        ):
            seconds = []
            for query in some[:COLD_QUERIES]:
                unmap(*arrays)
                drop_from_cache(*files)
                seconds.append(seconds_of(index, query))
            print(f"  one query, M = {recent}, {name}: {shown(seconds)}", flush=True)


def n_pages(rows: NDArray[np.int32]) -> int:
    """Pages that hold the records of these rows."""
    begins = NPY_HEADER_BYTES + rows.astype(np.int64) * RECORD_BYTES
    return len(np.unique(np.concatenate([begins, begins + RECORD_BYTES - 1]) // mmap.PAGESIZE))  # less than a page each


def memory_mib() -> dict[str, float]:
    """Resident memory of this process, MiB (Linux): its peak, what is mapped from files, what is its own."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmHWM", "RssFile", "RssAnon")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000, help="items of the large index; 0 leaves it out")
    parser.add_argument("--serve", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(*arguments.serve)
        return
    warnings.simplefilter("ignore", ParameterWarning)  # implicit's own conversions
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    throughput(arguments.users)
    if arguments.large:
        large_index(arguments.large)


if __name__ == "__main__":
    main()
