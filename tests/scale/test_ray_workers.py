"""Tasks on a Ray cluster of two nodes: a node and a driver die in mid-run, and the bytes are those without Ray."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llmi2i_cli.errors import ArtifactError, ClusterError, UsageError
from llmi2i_cli.runs.pipeline import STAGES
from llmi2i_cli.scale.runners import runner
from llmi2i_cli.stages.train_i2i import train_i2i
from tests.conftest import run
from tests.scale.blocks import FIRST_HELD_UP, N_BLOCKS, work

pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")

PATIENCE_SECONDS = 120
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
# A dead node is found out in two seconds instead of half a minute.
WATCHFUL = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 3}


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with a processor each, which are processes of this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": WATCHFUL})
    cluster.add_node(**NODE)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def workdir(tmp_path):
    folder = tmp_path / "work"
    for path in STAGES["synthesize"].inputs_of({}):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


@pytest.fixture
def undisturbed(workdir, tmp_path):
    """The bytes of a run without Ray."""
    shutil.copytree(workdir, tmp_path / "undisturbed")
    return work(tmp_path / "undisturbed", None)


def at_work(workdir: Path) -> list[Path]:
    """Waits until both nodes are held up in a task."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found := sorted(workdir.glob("at-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def test_a_driver_that_dies_costs_the_tasks_in_flight(cluster, workdir, undisturbed):
    (workdir / "hold").touch()
    command = [sys.executable, "-m", "tests.scale.blocks", str(workdir), cluster.address]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as driver:
        begun = at_work(workdir)
        driver.kill()
    (workdir / "hold").unlink()
    assert len(begun) == 2
    [partial] = (workdir / "synthesize").glob(".partial-*")
    done = [path.name for path in sorted(partial.glob("candidates-*"))]
    assert done == [f"candidates-{block:06d}.parquet" for block in range(FIRST_HELD_UP)]
    assert work(workdir, cluster.address) == undisturbed


def test_a_node_that_dies_costs_its_task_in_flight(cluster, workdir, undisturbed):
    node = cluster.add_node(**NODE)
    (workdir / "hold").touch()
    begun: list[Path] = []

    def kill_a_node():
        begun.extend(at_work(workdir))
        cluster.remove_node(node, allow_graceful=False)
        (workdir / "hold").unlink()

    killer = threading.Thread(target=kill_a_node)
    killer.start()
    assert work(workdir, cluster.address) == undisturbed
    killer.join()
    assert len(begun) >= 2
    assert len(list(workdir.glob("at-*"))) <= N_BLOCKS - FIRST_HELD_UP


def test_rows_in_ranges_are_the_bytes_of_all_rows_at_once(cluster, pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr("llmi2i_cli.i2i.row_ranges.ITEMS_PER_RANGE", 16)
    workdir = tmp_path / "work"
    shutil.copytree(pipeline, workdir)
    before = (workdir / "i2i/swing-real.parquet").read_bytes()
    assert run("train-i2i", "--model", "swing", "-w", workdir, "--ray", cluster.address, "--force") == 0
    assert (workdir / "i2i/swing-real.parquet").read_bytes() == before
    assert not list(workdir.rglob(".partial-*"))


def refuse(_: int) -> None:
    raise ArtifactError("it is damaged: make it again")


def test_a_mistake_that_a_task_finds_is_the_drivers_one_line(cluster):
    with pytest.raises(ArtifactError, match=r"^it is damaged: make it again$"), runner(cluster.address) as run_tasks:
        run_tasks(refuse, [1, 2], lambda: None)


def test_no_cluster_is_one_line():
    with pytest.raises(ClusterError, match=r"--ray 127\.0\.0\.1:1: no Ray cluster is to be had there"):
        runner("127.0.0.1:1").__enter__()


def test_only_models_that_are_made_row_by_row_can_be_shared_out(prepared):
    with pytest.raises(UsageError, match="--ray is an option of swing, bm25, itemknn, rp3beta, text, not of ease"):
        train_i2i(prepared, model="ease", ray="local")
