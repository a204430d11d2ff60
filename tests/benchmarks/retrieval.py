"""How fast rankings are made, and what a query of the memory-mapped index takes.

    python -m tests.benchmarks.retrieval [--users N] [--items N] [--threads N] [--part PART]

- ranking: `retrieve` of all users against implicit's `ItemItemRecommender.recommend`, on the same table (BM25 of a Zipf
  log, K = 200) at M = 10. implicit's loop over users runs on one thread, so it gets a process for each of the threads,
  forked with the model in memory, and need not send its results back. The scores must agree.
- index: a memory-mapped index of `--items` x 200, in a process that has only the index. Time to open it with its
  look-up ready; latency of a single query, M = 10 and M = 100, item ids in, the 100 best items' ids out, on one thread:
  in memory, with its records dropped from the system's cache before each query (an index that is larger than memory),
  and with all of it dropped (the first query of all); and the records that queries have looked up, in bytes and in
  whole pages, beside what the memory of the process has grown by.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from implicit._nearest_neighbours import NearestNeighboursScorer
from implicit.nearest_neighbours import ItemItemRecommender
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.evaluation.retrieve import rank_one, retrieve
from llmi2i_cli.i2i.bm25 import bm25_neighbours
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours
from llmi2i_cli.i2i.served_index import ServedIndex, write_served_index
from tests.benchmarks import fair
from tests.benchmarks.fair import Comparison, Side
from tests.benchmarks.own_process import in_own_process

K = 200
QUERIES, COLD_QUERIES = 500, 200
MIB = 2**20
NPY_HEADER_BYTES = 128
RECORD_BYTES = K * 8  # an id and a score a neighbour
PARTS = ("ranking", "index")


def zipf_log(n_users: int, n_items: int, length: int, seed: int = 0) -> Histories:
    """`length` interactions a user, items by Zipf's law."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, n_items + 1)
    items = rng.choice(n_items, size=n_users * length, p=popularity / popularity.sum()).astype(np.int32)
    return Histories(np.arange(n_users + 1, dtype=np.int64) * length, items, n_items)


def compare_rankings(n_users: int, top_n: int, runs: int) -> Comparison:
    log = zipf_log(n_users, 20_000, 10)
    neighbours = bm25_neighbours(log, top_k=K)
    shape = (log.n_users, log.n_items)
    user_items = csr_matrix((np.ones(len(log.items)), log.items, log.ptr), shape, copy=True)
    user_items.sum_duplicates()  # a repeat counts twice
    peer = with_table(neighbours)
    ours = partial(retrieve, neighbours, log, recent=10, top_n=top_n, exclude=log)
    found = ours()  # compiles
    _, their_scores = peer.recommend(np.arange(1000), user_items[:1000], N=top_n)
    np.testing.assert_allclose(found.scores[:1000], np.maximum(their_scores, 0), rtol=1e-5)  # padded with -inf
    (ours_s, _), (theirs_s, _) = fair.take_turns(runs, ours, partial(recommend, peer, user_items, top_n))
    what = f"ranking, {n_users:,} users, {log.n_items:,} items, M = 10, K = {K}, top {top_n}"
    return Comparison(what, "implicit's recommend", Side(ours_s, n_users), Side(theirs_s, n_users), "users")


def with_table(neighbours: Neighbours) -> ItemItemRecommender:
    """implicit's model as if it had fitted these neighbours; its own differ where several tie for the last place."""
    real = neighbours.ids != EMPTY
    ptr = np.concatenate([[0], np.cumsum(real.sum(axis=1))])
    shape = (neighbours.n_items, neighbours.n_items)
    peer = ItemItemRecommender(K=K)
    peer.similarity = csr_matrix((neighbours.scores[real].astype(float), neighbours.ids[real], ptr), shape)
    peer.scorer = NearestNeighboursScorer(peer.similarity)
    return peer


def recommend(peer: ItemItemRecommender, user_items: csr_matrix, top_n: int) -> None:
    """implicit's recommendations for all users, in a process for each thread."""
    shares = np.array_split(np.arange(user_items.shape[0]), fair.threads())
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=peer.recommend, args=(share, user_items[share]), kwargs={"N": top_n}) for share in shares
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def seconds_of(index: ServedIndex, query: list[str]) -> float:
    """How long a query takes from item ids to item ids."""
    start = time.perf_counter()
    rows = index.rows_of(query)
    found = index.neighbours(rows)
    places = np.arange(len(rows), dtype=np.int32)
    ids, _ = rank_one(found.ids, found.scores, index.tie_ranks, places, exclude=rows, top_n=100)
    index.item_ids(ids)
    return time.perf_counter() - start


def write_index(path: Path, n_items: int) -> None:
    """Random neighbours and scores; item k of some order is called item-k."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, n_items, (n_items, K), dtype=np.int32)
    scores = np.sort(rng.random((n_items, K), dtype=np.float32), axis=1)[:, ::-1]
    item_ids = pl.Series("item_id", [f"item-{row:09d}" for row in rng.permutation(n_items)])
    write_served_index(path, Neighbours(ids, scores), item_ids)


def measure_index(n_items: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, tiny = Path(folder) / "index.mmap", Path(folder) / "tiny.mmap"
        in_own_process(write_index, path, n_items)
        in_own_process(write_index, tiny, 300)
        size = sum(file.stat().st_size for file in path.iterdir())
        drop_from_cache(*path.iterdir())
        print(f"\nAn index of {n_items:,} items x {K}: {size / MIB:,.0f} MiB")
        in_own_process(serve, path, tiny)


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
    print(f"- opened from the disk, first look-up answered: {(time.perf_counter() - start) * 1e3:.1f} ms")
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
            f"- after {QUERIES} queries, M = {recent}: {len(asked):,} records, "
            f"{len(asked) * index.records.itemsize / MIB:,.0f} MiB, in pages of {page_mib:,.0f} MiB; all else "
            f"{sum(array.nbytes for array in others) / MIB:,.0f} MiB; memory in MiB: {grown}"
        )

    def latencies() -> Iterator[tuple[str, ...]]:
        places = {
            "in memory": (QUERIES, [], []),
            "records from the disk": (COLD_QUERIES, [index.records], [path / "neighbours.npy"]),
            "all from the disk": (COLD_QUERIES, [index.records, *others], list(path.iterdir())),
        }
        for name, (n_queries, arrays, files) in places.items():
            for recent, some in queries.items():
                seconds = []
                for query in some[:n_queries]:
                    unmap(*arrays)
                    drop_from_cache(*files)
                    seconds.append(seconds_of(index, query))
                p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
                yield f"M = {recent}, {name}", "1", fair.CLOCK, str(n_queries), f"{p50:.3f}", f"{p99:.3f}"

    columns = ("one query, ids in, 100 ids out", "threads", "clock", "queries", "p50 ms", "p99 ms")
    fair.print_table(columns, latencies())


def n_pages(rows: NDArray[np.int32]) -> int:
    """Pages that hold the records of these rows."""
    begins = NPY_HEADER_BYTES + rows.astype(np.int64) * RECORD_BYTES
    return len(np.unique(np.concatenate([begins, begins + RECORD_BYTES - 1]) // mmap.PAGESIZE))  # less than a page each


def memory_mib() -> dict[str, float]:
    """Resident memory of this process, MiB (Linux): its peak, what is mapped from files, what is its own."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmHWM", "RssFile", "RssAnon")}


def main() -> None:
    parser = fair.parser(__doc__, PARTS, runs=3)
    parser.add_argument("--users", type=int, default=100_000, help="of the ranking")
    parser.add_argument("--items", type=int, default=1_000_000, help="of the index")
    options = fair.parse(parser)
    parts = options.part or PARTS
    if "ranking" in parts:
        fair.print_comparisons(
            in_own_process(compare_rankings, options.users, top_n, options.runs)[0] for top_n in (10, 100)
        )
    if "index" in parts:
        measure_index(options.items)


if __name__ == "__main__":
    main()
