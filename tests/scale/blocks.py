"""A stage in blocks whose tasks can be held up, for tests that kill what does them.

Workers import this module by its name. While there is a file ``hold`` in the work directory, the later tasks tell by a
file ``at-BLOCK`` that they have begun, and wait.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from llmi2i_cli.runs.blocks import BlockedTable, publish_in_blocks
from llmi2i_cli.runs.tasks import SentAsFields
from llmi2i_cli.runs.workdir import stage_run
from llmi2i_cli.scale.runners import runner

SCHEMA = {"user_id": pl.String, "value": pl.Int32}
N_BLOCKS, FIRST_HELD_UP = 8, 3


@dataclass(frozen=True)
class Blocks(SentAsFields):
    workdir: Path

    def of(self, block: int) -> pl.DataFrame:
        if block >= FIRST_HELD_UP and (self.workdir / "hold").exists():
            (self.workdir / f"at-{block}").touch()
            while (self.workdir / "hold").exists():
                time.sleep(0.01)
        rows = range(1000 * block, 1000 * (block + 1))
        return pl.DataFrame({"user_id": [f"u{row}" for row in rows], "value": rows}, schema=SCHEMA)


def work(workdir: Path, ray: str | None) -> bytes:
    """Make ``synthesize/candidates.parquet`` in blocks; its bytes."""
    with stage_run(workdir, "synthesize", options={}) as run, runner(ray) as run_tasks:
        table = BlockedTable("candidates", N_BLOCKS, Blocks(workdir).of, SCHEMA)
        publish_in_blocks(run, [table], shards=1, shard=1, title="Blocks", runner=run_tasks)
    return (workdir / "synthesize/candidates.parquet").read_bytes()


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2])
