"""All stages but those of the language models on simulated logs of growing size: seconds, peak memory, growth.

    python -m tests.benchmarks.scale [--interactions N ...] [--threads N] [--part PART ...] [--folder FOLDER]

Each log has a twentieth as many users as interactions, and a hundredth as many items: 5 million users and 1 million
items at 100 million. Each stage is a process of its own. Candidates of a user's are made up, because training the
language models, and asking them about everybody, takes a GPU; their own benchmarks tell users and pairs a second.
Growth is that of the processors' seconds, and of peak memory, from the log before: 10 for ten times the rows is linear.

The part ``ray`` ranks the rows of Swing on Ray clusters of one and of two nodes, with one worker of one thread each.
A log of a million interactions is three tasks, of which the start of the workers takes more time than the work: what a
second worker is worth takes a larger one.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks import fair
from tests.benchmarks.memory import make_up_candidates, run
from tests.benchmarks.own_process import in_own_process

USERS_PER_INTERACTION, ITEMS_PER_INTERACTION = 1 / 20, 1 / 100
CAP = 1000  # users drawn for an item of Swing, as production systems do
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}


def simulate(workdir: Path, n: int) -> None:
    size = ("--users", int(n * USERS_PER_INTERACTION), "--items", int(n * ITEMS_PER_INTERACTION), "--interactions", n)
    run("simulate", workdir / "log", *size, "--force")


def prepare(workdir: Path, _: int) -> None:
    log, items = workdir / "log/interactions.parquet", workdir / "log/items.parquet"
    run("prepare", log, "--items", items, "--split", "leave-last-two", "--force", "-w", workdir)


def candidates(workdir: Path, _: int) -> None:
    make_up_candidates(workdir)


def fuse(workdir: Path, _: int) -> None:
    run("fuse", "--no-tune", "--force", "-w", workdir)


def train(model: str, data: str, *options: object) -> Callable[[Path, int], None]:
    return _Train(model, data, options)


class _Train:
    """`train-i2i`, as what can be sent to a process of its own."""

    def __init__(self, model: str, data: str, options: tuple[object, ...]) -> None:
        self.arguments = ("--model", model, "--data", data, *options)

    def __call__(self, workdir: Path, _: int) -> None:
        run("train-i2i", *self.arguments, "--force", "-w", workdir)


def evaluate(workdir: Path, _: int) -> None:
    run("evaluate", "--model", "swing", "--force", "-w", workdir)


def export_index(workdir: Path, _: int) -> None:
    run("export-index", "--model", "swing", "--format", "mmap", "--force", "-w", workdir)


PARTS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "simulate": ("`simulate`", simulate),
    "prepare": ("`prepare`", prepare),
    "candidates": ("(making candidates up)", candidates),
    "fuse": ("`fuse --no-tune`", fuse),
    "swing": (f"`train-i2i --model swing --max-item-users {CAP}`", train("swing", "real", "--max-item-users", CAP)),
    "swing-fused": ("the same, `--data fused`", train("swing", "fused", "--max-item-users", CAP)),
    "bm25": ("`train-i2i --model bm25`", train("bm25", "real")),
    "text": ("`train-i2i --model text`", train("text", "real")),
    "evaluate": ("`evaluate --model swing`", evaluate),
    "export-index": ("`export-index --model swing --format mmap`", export_index),
}
RAY = "ray"


def seconds_of(work: Callable[[Path, int], None], workdir: Path, n: int) -> tuple[float, float]:
    """By the wall's clock, and of all processors together."""
    start, start_of_processors = time.perf_counter(), time.process_time()
    work(workdir, n)
    return time.perf_counter() - start, time.process_time() - start_of_processors


def measured(parts: list[str], sizes: list[int], folder: Path) -> Iterator[tuple[str, ...]]:
    before: dict[str, tuple[float, float]] = {}
    for n in sizes:
        for part in parts:
            what, work = PARTS[part]
            (seconds, cpu_seconds), peak = in_own_process(seconds_of, work, folder / str(n), n)
            growth = ["", ""]
            if part in before:
                growth = [f"{now / then:.1f}" for now, then in zip((cpu_seconds, peak), before[part], strict=True)]
            before[part] = cpu_seconds, peak
            cells = (f"{seconds:.1f}", f"{cpu_seconds:.1f}", growth[0], f"{peak:,.0f}", growth[1])
            yield f"{n:,}", what, str(fair.threads()), *cells


def swing_on_ray(workdir: Path, n_nodes: int) -> float:
    """Seconds of Swing on so many nodes, the start of the cluster not counted."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    for _ in range(n_nodes - 1):
        cluster.add_node(**NODE)
    try:
        on_ray = train("swing", "real", "--max-item-users", CAP, "--ray", cluster.address)
        return seconds_of(on_ray, workdir, 0)[0]
    finally:
        cluster.shutdown()


def measured_on_ray(sizes: list[int], folder: Path, runs: int) -> Iterator[tuple[str, ...]]:
    for n in sizes:
        one, two = (
            min(in_own_process(swing_on_ray, folder / str(n), nodes)[0] for _ in range(runs)) for nodes in (1, 2)
        )
        yield f"{n:,}", fair.CLOCK, f"{one:.1f}", f"{two:.1f}", f"{one / two:.2f}"


def main() -> None:
    parser = fair.parser(__doc__, [*PARTS, RAY], runs=1)
    parser.add_argument("--interactions", type=int, action="append", help="of a log; repeatable, from small to large")
    parser.add_argument("--folder", type=Path, help="where the logs are made and stay; needed to measure later parts")
    options = fair.parse(parser)
    sizes = options.interactions or [1_000_000, 10_000_000, 100_000_000]
    parts = [part for part in PARTS if part in (options.part or PARTS)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if parts:
            columns = ("interactions", "what", "threads", "wall s", "CPU s", "growth", "peak MiB", "growth")
            fair.print_table(columns, measured(parts, sizes, folder))
        if RAY in (options.part or [RAY]):
            columns_of_ray = ("interactions", "clock", "s, one worker", "s, two workers", "speed-up")
            fair.print_table(columns_of_ray, measured_on_ray(sizes, folder, options.runs))


if __name__ == "__main__":
    main()
