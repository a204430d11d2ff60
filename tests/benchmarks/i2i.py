"""What Swing and BM25 cost, against named peers in the same run.

    python -m tests.benchmarks.i2i [--data FOLDER] [--threads N] [--part PART]   # FOLDER holds a sequences.txt

- swing: ours, from the log to the neighbours, against a plain parallel kernel (`naive_swing`) that is handed both
  incidence lists ready made; on a simulated log without caps and on the log of --data. The scores must agree to 1e-6.
  A second table sets ours against what any exact method has to do on that log.
- bm25: the K = 200 neighbours against implicit's `BM25Recommender.fit` with `num_threads`. The scores must agree.
- growth: Swing on 1 and 10 million interactions, at most 1,000 users an item; time and peak memory, against itself.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from implicit.nearest_neighbours import BM25Recommender
from implicit.utils import ParameterWarning
from scipy.sparse import csr_matrix

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.i2i.bm25 import bm25_neighbours
from llmi2i_cli.i2i.incidence import Incidence, incidence
from llmi2i_cli.i2i.swing import swing_neighbours, user_weights
from tests.benchmarks import fair
from tests.benchmarks.fair import Comparison, Side
from tests.benchmarks.naive_swing import naive_swing
from tests.benchmarks.own_process import in_own_process

TOP_K = 200
SMOOTHING = 5.0
CAP = 1000  # users of an item, where the log grows
PARTS = ("swing", "bm25", "growth")


def zipf_log(n_users: int, n_items: int, n_draws: int, exponent: float, seed: int = 0) -> Histories:
    """Independent draws of Zipf items; history lengths are lognormal; what a user draws twice counts once."""
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(0, 0.6, n_users)
    lengths = np.maximum(1, np.round(lengths * (n_draws / lengths.sum()))).astype(np.int64)
    popularity = np.cumsum(np.arange(1, n_items + 1) ** -exponent)
    users = np.repeat(np.arange(n_users), lengths)
    places = np.searchsorted(popularity / popularity[-1], rng.random(len(users)))
    users, places = np.divmod(np.unique(users * n_items + places), n_items)
    ptr = np.searchsorted(users, np.arange(n_users + 1)).astype(np.int64)
    return Histories(ptr, rng.permutation(n_items)[places].astype(np.int32), n_items)


def read_log(data: Path | None) -> Histories:
    """The train part of the sequence file of `data`: each line without its last two items; or a simulated log."""
    if data is None:
        return zipf_log(50_000, 10_000, 742_000, 0.72)
    index: dict[str, int] = {}
    with (data / "sequences.txt").open() as lines:
        rows = [[index.setdefault(item, len(index)) for item in line.split()[1:]][:-2] for line in lines]
    return Histories.from_rows(rows, len(index))


def described(data: Path | None, log: Histories) -> str:
    return f"{data.name if data else 'simulated'}, {len(log.items):,} interactions"


@dataclass(frozen=True)
class Work:
    """What a log asks of Swing, and how long ours took.

    Attributes
    ----------
    summed : pairs of users, summed over items
    pairs : distinct pairs of users that share two items or more: one step each at least in any exact method
    contributions : what these pairs add to all rows; the definition read plainly adds each
    least_bytes : the log read and the result written
    """

    log: str
    summed: int
    pairs: int
    contributions: int
    least_bytes: int
    seconds: float

    def row(self) -> Iterator[str]:
        yield self.log
        for count in (self.summed, self.pairs, self.contributions):
            yield f"{count:.3g}: {self.seconds * fair.threads() / max(count, 1) * 1e9:.2f} ns"
        yield f"{self.least_bytes:.3g}: {self.least_bytes / self.seconds / 1e9:.2f} GB/s"


@numba.njit(cache=True)
def pair_counts(log: Incidence) -> Any:
    """`Work.summed`, `Work.pairs` and `Work.contributions`."""
    n_users = len(log.user_ptr) - 1
    shared = np.zeros(n_users, np.int32)
    summed = 0
    pairs = 0
    contributions = 0
    for u in range(n_users):
        for entry in range(log.user_ptr[u], log.user_ptr[u + 1]):
            item = log.user_items[entry]
            for p in range(log.item_ptr[item + 1] - 1, log.item_ptr[item] - 1, -1):
                if log.item_users[p] <= u:
                    break
                shared[log.item_users[p]] += 1
        for v in range(u + 1, n_users):
            summed += shared[v]
            pairs += shared[v] > 1
            contributions += shared[v] * (shared[v] - 1)
            shared[v] = 0
    return summed, pairs, contributions


def plain_swing(log: Incidence) -> Any:
    weights = user_weights("sqrt", log.lengths)
    return naive_swing(log.item_ptr, log.item_users, log.user_ptr, log.user_items, weights, SMOOTHING, TOP_K)


def compare_swing(data: Path | None, runs: int) -> tuple[Comparison, Work]:
    small = zipf_log(500, 300, 5000, 0.8)
    plain_swing(incidence(small, repeats="max"))  # compiles
    swing_neighbours(small)
    histories = read_log(data)
    log = incidence(histories, repeats="max")
    (plain_s, (_, peer_scores)), (ours_s, neighbours) = fair.take_turns(
        runs, lambda: plain_swing(log), lambda: swing_neighbours(histories, top_k=TOP_K, smoothing=SMOOTHING)
    )
    np.testing.assert_allclose(
        np.sort(neighbours.scores[log.item_order], axis=1), np.sort(peer_scores, axis=1), rtol=1e-6, atol=0
    )
    least_bytes = 4 * len(log.user_items) + neighbours.ids.nbytes + neighbours.scores.nbytes
    name = described(data, histories)
    row = Comparison(f"Swing, {name}, no caps", "a plain parallel Numba kernel", Side(ours_s), Side(plain_s))
    summed, pairs, contributions = pair_counts(log)
    return row, Work(name, summed, pairs, contributions, least_bytes, min(ours_s))


def compare_bm25(data: Path | None, runs: int) -> Comparison:
    warnings.simplefilter("ignore", ParameterWarning)  # implicit's own conversions
    bm25_neighbours(zipf_log(500, 300, 5000, 0.8))  # compiles
    histories = read_log(data)
    weights = np.ones(len(histories.items))
    matrix = csr_matrix((weights, histories.items, histories.ptr), (histories.n_users, histories.n_items))

    def implicit_bm25() -> BM25Recommender:
        model = BM25Recommender(K=TOP_K + 1, num_threads=fair.threads())  # it counts the item itself
        model.fit(matrix, show_progress=False)
        return model

    (peer_s, model), (ours_s, neighbours) = fair.take_turns(
        runs, implicit_bm25, lambda: bm25_neighbours(histories, top_k=TOP_K)
    )
    similarity = model.similarity.tolil(copy=True)
    similarity.setdiag(0)
    for item in np.linspace(0, histories.n_items - 1, 50).astype(int):
        theirs = np.sort(similarity.data[item])[::-1][:TOP_K]
        np.testing.assert_allclose(neighbours.scores[item][: len(theirs)], theirs, rtol=1e-5, atol=1e-9)
    what = f"BM25, {described(data, histories)}, K = {TOP_K}"
    return Comparison(what, "implicit's BM25Recommender.fit", Side(ours_s), Side(peer_s))


@dataclass(frozen=True)
class Growth:
    interactions: int
    pairs: float
    seconds: float


def swing_on(n_draws: int) -> Growth:
    swing_neighbours(zipf_log(500, 300, 5000, 0.8), max_item_users=CAP)  # compiles
    histories = zipf_log(n_draws // 21, n_draws * 2 // 105, n_draws, 0.8)
    users = np.minimum(histories.item_counts(), CAP).astype(float)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    start = time.perf_counter()
    swing_neighbours(histories, top_k=TOP_K, smoothing=SMOOTHING, max_item_users=CAP)
    return Growth(len(histories.items), float((users * (users - 1) / 2).sum()), time.perf_counter() - start)


def grow_swing(runs: int) -> Iterator[tuple[str, ...]]:
    small = None
    for n_draws in (1_050_000, 10_500_000):
        grown, peak = min((in_own_process(swing_on, n_draws) for _ in range(runs)), key=lambda run: run[0].seconds)
        small = small or grown
        yield (
            f"{grown.interactions:,}",
            f"{grown.pairs:.3g}",
            str(fair.threads()),
            fair.CLOCK,
            f"{grown.seconds:.2f}",
            f"{peak:,.0f}",
            f"{grown.interactions / small.interactions:.1f}, {grown.pairs / small.pairs:.1f}",
            f"{grown.seconds / small.seconds:.1f}",
        )


def main() -> None:
    parser = fair.parser(__doc__, PARTS, runs=3)
    parser.add_argument("--data", type=Path, help="folder with a sequences.txt")
    options = fair.parse(parser)
    parts = options.part or PARTS
    logs = [None, options.data] if options.data else [None]
    work: list[Work] = []

    def comparisons() -> Iterator[Comparison]:
        for data in logs:
            if "swing" in parts:
                (row, of_log), _ = in_own_process(compare_swing, data, options.runs)
                work.append(of_log)
                yield row
            if "bm25" in parts:
                yield in_own_process(compare_bm25, data, options.runs)[0]

    if set(parts) & {"swing", "bm25"}:
        fair.print_comparisons(comparisons())
    if work:
        counts = ("user pairs over items", "pairs sharing >= 2", "contributions", "bytes in and out")
        fair.print_table(("Swing, time of a thread for each", *counts), (of_log.row() for of_log in work))
    if "growth" in parts:
        columns = (f"Swing, at most {CAP:,} users an item: interactions", "user pairs", "threads", "clock", "s")
        fair.print_table((*columns, "peak MiB", "interactions, pairs x", "time x"), grow_swing(options.runs))


if __name__ == "__main__":
    main()
