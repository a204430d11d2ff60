"""Blocks of users: shared between processes, killed, merged once, the same bytes in every case."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from llmi2i_cli.files.tables import sink_table, write_table
from llmi2i_cli.runs.blocks import BlockedTable, publish_in_blocks
from llmi2i_cli.runs.manifests import read_manifest
from llmi2i_cli.runs.pipeline import STAGES
from llmi2i_cli.runs.workdir import shard_label, stage_run

SCHEMA = {"user_id": pl.String, "value": pl.Int32}
N_BLOCKS = 7

# One shard of a stage in a process of its own. It waits before its last block until all shards have come as far, so
# that all of them end at once.
SHARD = """
import sys
from pathlib import Path
from pathlib import Path
import tests.runs.test_blocks as test
workdir, shards, shard = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
def wait(block):
    if block >= test.N_BLOCKS - shards:
        print("ready", flush=True)
        sys.stdin.readline()
test.work(workdir, shards, shard, before=wait)
"""


@pytest.fixture
def workdir(tmp_path):
    for path in STAGES["synthesize"].inputs_of({}):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


def block_table(block):
    return pl.DataFrame({"user_id": [f"u{block}-{row}" for row in range(block)], "value": range(block)}, schema=SCHEMA)


def work(workdir, shards=1, shard=1, *, before=lambda block: None, force=False):
    """A stage in blocks, as `synthesize` and `filter` are; returns the blocks made, and the manifest if it is known."""
    made = []

    def make(block):
        before(block)
        made.append(block)
        return block_table(block)

    with stage_run(workdir, "synthesize", options={}, shard=shard_label(shards, shard), force=force) as run:
        if run.up_to_date:
            return made, run.manifest
        table = BlockedTable("candidates", N_BLOCKS, make, SCHEMA)
        return made, publish_in_blocks(run, [table], shards=shards, shard=shard, title="Blocks")


def result(workdir):
    assert [path.name for path in sorted((workdir / "synthesize").iterdir())] == ["candidates.parquet", "manifest.json"]
    return (workdir / "synthesize/candidates.parquet").read_bytes()


@pytest.fixture
def whole(workdir):
    """The bytes of a run without shards."""
    assert work(workdir, force=True)[0] == list(range(N_BLOCKS))
    expected = pl.concat([block_table(block) for block in range(N_BLOCKS)])
    assert pl.read_parquet(workdir / "synthesize/candidates.parquet").equals(expected)
    manifest = read_manifest(workdir / "synthesize/manifest.json") or {}
    assert manifest["outputs"]["candidates.parquet"]["rows"] == 21
    found = result(workdir)
    (workdir / "synthesize/manifest.json").unlink()
    (workdir / "synthesize/candidates.parquet").unlink()
    return found


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
def test_the_last_shard_merges_whichever_it_is(workdir, whole, order):
    for shard in order[:2]:
        made, manifest = work(workdir, 3, shard)
        assert made == list(range(shard - 1, N_BLOCKS, 3))
        assert manifest is None
        assert not (workdir / "synthesize/candidates.parquet").exists()
    made, manifest = work(workdir, 3, order[2])
    assert made == list(range(order[2] - 1, N_BLOCKS, 3))
    assert manifest["outputs"]["candidates.parquet"]["rows"] == 21
    assert result(workdir) == whole
    assert work(workdir, 3, 1)[0] == []


def test_a_shard_run_twice_and_another_number_of_shards_do_nothing_again(workdir, whole):
    work(workdir, 3, 2)
    assert work(workdir, 3, 2)[0] == []
    assert work(workdir, 2, 1)[0] == [0, 2, 6]
    assert work(workdir)[0] == [3, 5]
    assert result(workdir) == whole


@pytest.mark.parametrize("kill_at", [0, 3, 6])
def test_finished_blocks_survive_a_kill(workdir, whole, kill_at):
    def stop(block):
        if block == kill_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(workdir, before=stop)
    [partial] = (workdir / "synthesize").glob(".partial-*")
    times = {path.name: path.stat().st_mtime_ns for path in partial.iterdir()}
    assert len(times) == kill_at

    def untouched(block):
        assert times.items() <= {path.name: path.stat().st_mtime_ns for path in partial.iterdir()}.items()

    made, _ = work(workdir, before=untouched)
    assert made == list(range(kill_at, N_BLOCKS))
    assert result(workdir) == whole


def test_a_merge_that_was_killed_is_done_again_from_the_blocks(workdir, whole, monkeypatch):
    def cut_short(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("llmi2i_cli.runs.blocks.sink_table", cut_short)
        with pytest.raises(KeyboardInterrupt):
            work(workdir)
    assert work(workdir)[0] == []
    assert result(workdir) == whole


def test_shards_that_finish_at_once_merge_once(workdir, whole):
    shards = 3
    command = [sys.executable, "-c", SHARD, str(workdir), str(shards)]
    running = [
        subprocess.Popen([*command, str(shard + 1)], stdin=-1, stdout=-1, stderr=-1, text=True)
        for shard in range(shards)
    ]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0
        assert all(line.startswith("synthesize: shard ") for line in error.splitlines())  # others are not done yet
    assert result(workdir) == whole


def test_no_users_make_an_empty_table(workdir):
    with stage_run(workdir, "synthesize", options={"users": 0}) as run:
        table = BlockedTable("candidates", 0, block_table, SCHEMA)
        manifest = publish_in_blocks(run, [table], shards=1, shard=1, title="", details=lambda: {"users": 0}) or {}
    assert manifest["outputs"]["candidates.parquet"]["rows"] == manifest["users"] == 0
    assert pl.read_parquet(workdir / "synthesize/candidates.parquet").schema == pl.Schema(SCHEMA)


def test_a_full_disk_while_merging_is_an_error_of_the_disk(tmp_path, monkeypatch):
    """/dev/full is a device without space: what is written to it fails as on a full disk."""
    full = tmp_path / "full"
    monkeypatch.setattr(Path, "with_name", lambda path, name: full)
    for write in (
        lambda: sink_table(block_table(3).lazy(), tmp_path / "x.parquet"),
        lambda: write_table(block_table(3), tmp_path / "x.parquet"),
    ):
        full.unlink(missing_ok=True)
        full.symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left on device"):
            write()
    assert not (tmp_path / "x.parquet").exists()
