"""What publishing to Redis takes: `python -m tests.benchmarks.publish [--items N] [--part zset] [--part list]`.

An index of a million items x 50 goes from memory to a Redis of its own that keeps nothing on the disk: ours by
`publish_to_redis`, encoding, lock, version, switch and the answers to all commands included; beside it
`redis-cli --pipe`, which is fed a file with the same commands ready-made. The two take turns; Redis is emptied between.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from llmi2i_cli.choices.redis_layouts import REDIS_LAYOUTS
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.publishing.redis_commands import commands
from llmi2i_cli.publishing.redis_versions import RedisPlace, publish_to_redis
from tests.benchmarks import fair
from tests.benchmarks.fair import Comparison, Side
from tests.benchmarks.own_process import in_own_process
from tests.redis_server import program, redis_server

K = 50


def random_index(n_items: int) -> tuple[Neighbours, pl.Series]:
    """Random neighbours and scores; item k is called item-k."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, n_items, (n_items, K), dtype=np.int32)
    scores = np.sort(rng.random((n_items, K), dtype=np.float32), axis=1)[:, ::-1]
    item_ids = pl.Series("item_id", [f"item-{row:09d}" for row in range(n_items)])
    return Neighbours(ids, np.ascontiguousarray(scores)), item_ids


def compare_publishing(layout: str, n_items: int, runs: int) -> Comparison:
    neighbours, item_ids = random_index(n_items)
    ours_s, theirs_s = [], []
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder), "--maxmemory", "0") as url:
        place, file = RedisPlace.of(url, "bench"), Path(folder) / "commands.resp"
        with file.open("wb") as written:
            for encoded, _ in commands(layout, "bench:version:", neighbours, item_ids):
                written.write(encoded)
        for _ in range(runs):
            place.client.flushall()
            start = time.perf_counter()
            told = publish_to_redis(place, neighbours, item_ids, digest="x", layout=layout, keep_seconds=60, force=True)
            ours_s.append(time.perf_counter() - start)
            assert told["keys"] == n_items
            place.client.flushall()
            start = time.perf_counter()
            pipe(url, file)
            theirs_s.append(time.perf_counter() - start)
            assert place.client.dbsize() == n_items
    what = f"{n_items:,} items x {K} to Redis, {layout}"
    return Comparison(what, "redis-cli --pipe of ready-made commands", Side(ours_s), Side(theirs_s))


def pipe(url: str, file: Path) -> None:
    client = program("redis-cli")
    assert client is not None  # it comes with the server
    with file.open("rb") as commands_:
        subprocess.run([client, "-u", url, "--pipe"], stdin=commands_, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    parser = fair.parser(__doc__, REDIS_LAYOUTS, runs=3)
    parser.add_argument("--items", type=int, default=1_000_000)
    options = fair.parse(parser)
    parts = options.part or REDIS_LAYOUTS
    fair.print_comparisons(in_own_process(compare_publishing, part, options.items, options.runs)[0] for part in parts)


if __name__ == "__main__":
    main()
