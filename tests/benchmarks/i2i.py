"""What Swing and BM25 cost, as ratios against named peers in the same run.

    python -m tests.benchmarks.i2i [--data FOLDER]   # FOLDER/sequences.txt: USER ITEM ITEM ... a line

- Swing against a plain parallel one (`naive_swing`), on a simulated log without caps and on the log of --data; the
  scores must agree to 1e-6.
- The same against what any exact method has to do on that log.
- Swing on 1 and 10 million interactions, at most 1,000 users an item: time, peak memory, growth.
- BM25 fit and neighbours against implicit's at K = 200.

Peers take turns, each figure is the best of its runs; a machine that does other work shows in all of them.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
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
from tests.benchmarks.naive_swing import naive_swing
from tests.benchmarks.own_process import peak_mib

TOP_K = 200
SMOOTHING = 5.0


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


def read_sequences(path: Path) -> Histories:
    """The train part of a sequence file: each line without its last two items."""
    index: dict[str, int] = {}
    with path.open() as lines:
        rows = [[index.setdefault(item, len(index)) for item in line.split()[1:]][:-2] for line in lines]
    return Histories.from_rows(rows, len(index))


def best_times(runs: int, *work: Callable[[], Any]) -> list[tuple[float, Any]]:
    """Best wall-clock seconds of each function and what it returned, the functions taking turns."""
    best: list[tuple[float, Any]] = [(float("inf"), None)] * len(work)
    for _ in range(runs):
        for n, function in enumerate(work):
            start = time.perf_counter()
            result = function()
            best[n] = min(best[n], (time.perf_counter() - start, result), key=lambda timed: timed[0])
    return best


@numba.njit(cache=True)
def pair_counts(log: Incidence) -> Any:
    """Pairs of users summed over items, distinct pairs that share two items or more, what these add to all rows."""
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


def compare_swing(name: str, histories: Histories, runs: int) -> None:
    log = incidence(histories, repeats="max")
    weights = user_weights("sqrt", log.lengths)
    (naive_s, (_, peer_scores)), (ours_s, neighbours) = best_times(
        runs,
        lambda: naive_swing(log.item_ptr, log.item_users, log.user_ptr, log.user_items, weights, SMOOTHING, TOP_K),
        lambda: swing_neighbours(histories, top_k=TOP_K, smoothing=SMOOTHING),
    )
    np.testing.assert_allclose(
        np.sort(neighbours.scores[log.item_order], axis=1), np.sort(peer_scores, axis=1), rtol=1e-6, atol=0
    )
    summed, pairs, contributions = pair_counts(log)
    popular = np.diff(log.item_ptr).max() / max(log.n_users, 1)
    print(
        f"{name}: {log.n_users:,} users x {log.n_items:,} items x {len(log.user_items):,} interactions, "
        f"the most popular item with {popular:.0%} of the users\n"
        f"  Swing                 {ours_s:8.3f} s {naive_s / ours_s:6.1f} x as fast as the plain one's {naive_s:.3f} s"
        ", scores equal to 1e-6"
    )
    # The definition read plainly adds every contribution. An exact method has to learn |I_u & I_v| of each pair that
    # contributes (one step at the very least), to read the log and to write the result.
    least_bytes = 4 * len(log.user_items) + neighbours.ids.nbytes + neighbours.scores.nbytes
    thread_s = ours_s * numba.get_num_threads()
    print(
        f"  user pairs over items {summed:12.3g}   {thread_s / max(summed, 1) * 1e9:8.2f} ns of a thread for each\n"
        f"  pairs sharing >= 2    {pairs:12.3g}   {thread_s / max(pairs, 1) * 1e9:8.2f} ns for each: at least one "
        "step each in any exact method\n"
        f"  contributions         {contributions:12.3g}   {thread_s / max(contributions, 1) * 1e9:8.2f} ns for each\n"
        f"  bytes in and out      {least_bytes:12.3g}   {least_bytes / ours_s / 1e9:8.2f} GB/s"
    )


def compare_bm25(name: str, histories: Histories, runs: int) -> None:
    threads = numba.get_num_threads()
    weights = np.ones(len(histories.items))
    matrix = csr_matrix((weights, histories.items, histories.ptr), (histories.n_users, histories.n_items))

    def implicit_bm25() -> BM25Recommender:
        model = BM25Recommender(K=TOP_K + 1, num_threads=threads)
        model.fit(matrix, show_progress=False)
        return model

    (peer_s, model), (ours_s, neighbours) = best_times(
        runs, implicit_bm25, lambda: bm25_neighbours(histories, top_k=TOP_K)
    )
    similarity = model.similarity.tolil(copy=True)
    similarity.setdiag(0)
    for item in np.linspace(0, histories.n_items - 1, 50).astype(int):
        theirs = np.sort(similarity.data[item])[::-1][:TOP_K]
        np.testing.assert_allclose(neighbours.scores[item][: len(theirs)], theirs, rtol=1e-5, atol=1e-9)
    print(f"  BM25                  {ours_s:8.3f} s   {peer_s / ours_s:6.1f} x as fast as implicit's ({peer_s:.3f} s)")


def grow_swing(cap: int = 1000) -> None:
    print(f"Swing, at most {cap:,} users an item:")
    before: tuple[float, float, float] | None = None
    for n_draws in (1_050_000, 10_500_000):
        histories = zipf_log(n_draws // 21, n_draws * 2 // 105, n_draws, 0.8)
        users = np.minimum(histories.item_counts(), cap).astype(float)
        pairs = float((users * (users - 1) / 2).sum())
        Path("/proc/self/clear_refs").write_text("5")
        start = time.perf_counter()
        swing_neighbours(histories, top_k=TOP_K, smoothing=SMOOTHING, max_item_users=cap)
        seconds = time.perf_counter() - start
        print(
            f"  {histories.n_users:>9,} users x {histories.n_items:>7,} items x {len(histories.items):>10,} "
            f"interactions: {seconds:7.2f} s, peak {peak_mib():,.0f} MiB with the log, {pairs:.3g} user pairs"
        )
        if before:
            seconds_1, pairs_1, interactions_1 = before
            print(
                f"  growth: interactions x {len(histories.items) / interactions_1:.1f}, pairs x {pairs / pairs_1:.1f}, "
                f"time x {seconds / seconds_1:.1f}"
            )
        before = seconds, pairs, len(histories.items)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with a sequences.txt")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ParameterWarning)  # implicit's own conversions
    print(f"{numba.get_num_threads()} threads")
    small = zipf_log(500, 300, 5000, 0.8)
    compiled = incidence(small, repeats="max")
    swing_neighbours(small)
    bm25_neighbours(small)
    naive_swing(
        compiled.item_ptr, compiled.item_users, compiled.user_ptr, compiled.user_items, np.ones(500), SMOOTHING, TOP_K
    )
    logs = {"simulated": zipf_log(50_000, 10_000, 742_000, 0.72)}
    if options.data:
        logs = {options.data.name: read_sequences(options.data / "sequences.txt"), **logs}
    for name, histories in logs.items():
        compare_swing(name, histories, options.runs)
        compare_bm25(name, histories, options.runs)
    grow_swing()


if __name__ == "__main__":
    main()
