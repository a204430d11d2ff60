"""`llmi2i status`: done, stale and why, interrupted, missing."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from llmi2i_cli.runs.manifests import MANIFEST_KEYS
from llmi2i_cli.runs.pipeline import STAGES
from llmi2i_cli.runs.workdir import stage_run
from llmi2i_cli.stages.status import status
from tests.conftest import run


def publish(workdir, name, text="1", **variant):
    stage = STAGES[name]
    with stage_run(workdir, name, options={"text": text}, variant=variant) as run:
        for output in stage.writes:
            path = run.output(output)
            (path / "weights" if output.endswith("/") else path).parent.mkdir(exist_ok=True)
            (path / "weights" if output.endswith("/") else path).write_text(text)
        tables = [output for output in stage.writes if output.endswith(".parquet")]
        run.publish(rows={output: number for number, output in enumerate(tables, start=11)})


@pytest.fixture
def workdir(tmp_path):
    """Everything up to a fused Swing has run."""
    for name in ("prepare", "sft-gen", "sft-disc", "synthesize", "filter", "fuse"):
        publish(tmp_path, name)
    publish(tmp_path, "train-i2i", model="swing", data="real")
    publish(tmp_path, "train-i2i", model="swing", data="fused")
    publish(tmp_path, "evaluate", model="swing", data="fused", split="valid")
    return tmp_path


def states(workdir):
    return {(row["stage"], row["variant"]): (row["state"], row["why"]) for row in status(workdir)}


def only(workdir, stage, variant):
    (row,) = [row for row in status(workdir) if (row["stage"], row["variant"]) == (stage, variant)]
    return row


def test_nothing_has_run(tmp_path):
    rows = status(tmp_path / "nowhere")
    assert [row["stage"] for row in rows] == [name for name, stage in STAGES.items() if not stage.optional]
    assert {row["state"] for row in rows} == {"missing"}
    assert not (tmp_path / "nowhere").exists()


def test_what_is_done_and_what_is_missing(workdir):
    found = states(workdir)
    assert found == {
        ("prepare", ""): ("done", ""),
        ("sft-gen", ""): ("done", ""),
        ("sft-disc", ""): ("done", ""),
        ("synthesize", ""): ("done", ""),
        ("filter", ""): ("done", ""),
        ("fuse", ""): ("done", ""),
        ("train-i2i", "swing real"): ("done", ""),
        ("train-i2i", "swing fused"): ("done", ""),
        ("evaluate", "swing fused valid"): ("done", ""),
        ("export-index", ""): ("missing", ""),
    }
    rows = {row["stage"]: row for row in status(workdir)}
    assert rows["prepare"]["rows"] == 11
    assert rows["sft-gen"]["rows"] is None
    assert rows["prepare"]["seconds"] >= 0


def test_a_changed_output_makes_stale_what_follows_from_it(workdir):
    path = workdir / "synthesize/candidates.parquet"
    path.write_text("2")
    found = states(workdir)
    assert found["synthesize", ""] == ("stale", "synthesize/candidates.parquet was changed")
    assert found["filter", ""] == ("stale", "synthesize/candidates.parquet changed")
    assert found["fuse", ""] == ("stale", "filter/scored.parquet is stale")
    assert found["train-i2i", "swing fused"] == ("stale", "fuse/interactions.parquet is stale")
    assert found["evaluate", "swing fused valid"] == ("stale", "i2i/swing-fused.parquet is stale")
    assert found["train-i2i", "swing real"] == found["sft-disc", ""] == ("done", "")


def test_a_stage_that_ran_again_makes_stale_what_read_the_former_result(workdir):
    publish(workdir, "filter", "2")
    found = states(workdir)
    assert found["filter", ""] == ("done", "")
    assert found["fuse", ""] == ("stale", "filter/scored.parquet changed")


def test_missing_outputs_and_inputs(workdir):
    (workdir / "fuse/interactions.parquet").unlink()
    shutil.rmtree(workdir / "sft-disc")
    found = states(workdir)
    assert found["fuse", ""] == ("stale", "fuse/interactions.parquet is missing")
    assert found["sft-disc", ""] == ("missing", "")
    assert found["filter", ""] == ("stale", "sft-disc/model/weights is missing")


def test_a_new_time_alone_changes_nothing(workdir):
    for path in workdir.rglob("*.parquet"):
        os.utime(path)
    assert {state for state, _ in states(workdir).values()} == {"done", "missing"}


def test_contents_are_compared_on_request(workdir):
    path = workdir / "fuse/interactions.parquet"
    stat = path.stat()
    path.write_text("2")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert states(workdir)["fuse", ""] == ("done", "")
    found = {(row["stage"], row["variant"]): row["why"] for row in status(workdir, verify=True)}
    assert found["fuse", ""] == "fuse/interactions.parquet was changed"
    assert found["train-i2i", "swing fused"] == "fuse/interactions.parquet changed"
    assert found["train-i2i", "swing real"] == ""


def test_an_interrupted_stage_is_told(workdir):
    with (
        pytest.raises(KeyboardInterrupt),
        stage_run(workdir, "export-index", options={}, variant={"model": "swing", "data": "real", "format": "mmap"}),
    ):
        raise KeyboardInterrupt
    interrupted = ("partial", "interrupted: the same command goes on")
    assert states(workdir)["export-index", "swing real mmap"] == interrupted
    with (
        pytest.raises(KeyboardInterrupt),
        stage_run(workdir, "train-i2i", options={}, variant={"model": "bm25", "data": "real"}),
    ):
        raise KeyboardInterrupt
    found = states(workdir)
    assert found["train-i2i", "bm25 real"] == interrupted
    assert found["train-i2i", "swing real"] == ("done", "")


def test_a_running_stage_is_told_from_an_interrupted_one(workdir):
    variant = {"model": "bm25", "data": "real"}
    with stage_run(workdir, "train-i2i", options={}, variant=variant) as run:
        row = only(workdir, "train-i2i", "bm25 real")
        (process,) = row["running"]
        since = process.pop("started_at")
        host = os.uname().nodename
        steps = {"doing": None, "done": None, "total": None}
        assert process == {"pid": os.getpid(), "host": host, "shard": "", **steps}
        assert (row["state"], row["why"]) == ("running", f"pid {os.getpid()} since {since}")
        assert only(workdir, "train-i2i", "swing real")["state"] == "done"
        with run.progress_bar("Training", 4):
            row = only(workdir, "train-i2i", "bm25 real")
            assert row["why"] == f"pid {os.getpid()} since {since}, Training: 0 of 4"
            assert (row["running"][0]["done"], row["running"][0]["total"]) == (0, 4)
        with run.progress_bar("Tuning"):
            assert only(workdir, "train-i2i", "bm25 real")["why"].endswith(", Tuning: 0")
    assert only(workdir, "train-i2i", "bm25 real")["state"] == "partial"


def test_a_finished_stage_that_runs_again_is_running(workdir):
    with stage_run(workdir, "fuse", options={"text": "2"}):
        row = only(workdir, "fuse", "")
        assert (row["state"], row["rows"]) == ("running", 11)  # of the result that is still there
    assert only(workdir, "fuse", "")["state"] == "done"


def test_a_process_of_another_machine(workdir, monkeypatch):
    with stage_run(workdir, "fuse", options={"text": "2"}):
        (process,) = only(workdir, "fuse", "")["running"]
        monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "elsewhere", "", "", "")))
        why = only(workdir, "fuse", "")["why"]
    assert why == f"pid {os.getpid()} on {process['host']} since {process['started_at']}"


def test_running_shards_are_counted_and_their_steps_summed(workdir):
    with stage_run(workdir, "synthesize", options={"n": 2}, shard="1-of-8") as one, one.progress_bar("Blocks", 30):
        row = only(workdir, "synthesize", "")
        since = row["running"][0]["started_at"]
        assert row["why"] == f"shard 1 of 8, pid {os.getpid()} since {since}, Blocks: 0 of 30"
        with stage_run(workdir, "synthesize", options={"n": 2}, shard="2-of-8") as two, two.progress_bar("Blocks", 31):
            row = only(workdir, "synthesize", "")
            assert row["why"] == f"2 shards since {since}, Blocks: 0 of 61"
            assert [process["shard"] for process in row["running"]] == ["1-of-8", "2-of-8"]


def test_examples_alone_are_no_interrupted_training(tmp_path):
    publish(tmp_path, "prepare")
    with pytest.raises(KeyboardInterrupt), stage_run(tmp_path, "sft-gen --examples-only", options={}):
        raise KeyboardInterrupt
    assert states(tmp_path)["sft-gen", ""] == ("missing", "")
    publish(tmp_path, "sft-gen --examples-only")
    assert states(tmp_path)["sft-gen --examples-only", ""] == ("done", "")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fingerprint": "1"}'])
def test_a_damaged_manifest(workdir, content):
    path = workdir / "fuse/manifest.json"
    path.write_text(content)
    assert states(workdir)["fuse", ""] == ("stale", f"{path} cannot be read")


@pytest.mark.parametrize("key", MANIFEST_KEYS)
@pytest.mark.parametrize("value", [None, ["x"], {"x": 1}, {"x": {"bytes": "1"}}])
def test_a_manifest_of_the_wrong_shape_is_one_row_of_many(workdir, key, value):
    path = workdir / "i2i/swing-real.manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {key: value}))
    found = states(workdir)
    assert set(found) == set(states(workdir))
    if isinstance(value, dict) and key in ("options", "variant", "versions"):  # any JSON object will do
        return
    assert found["train-i2i", "swing real"] == ("stale", f"{path} cannot be read")
    assert found["train-i2i", "swing fused"] == ("done", "")


def test_another_version_made_it(workdir, monkeypatch):
    monkeypatch.setattr("llmi2i_cli.runs.states.__version__", "999")
    assert states(workdir)["prepare", ""][1].startswith("made by llmi2i ")


def test_on_the_command_line(workdir, capsys):
    assert run("status", "-w", workdir, "--json") == 0
    assert json.loads(capsys.readouterr().out) == status(workdir)
    assert run("status", "-w", workdir, "--verify", "--json") == 0
    assert json.loads(capsys.readouterr().out) == status(workdir, verify=True)
    assert run("status", "-w", workdir) == 0
    shown = capsys.readouterr().out.splitlines()
    assert any("train-i2i" in line and "swing fused" in line and "done" in line for line in shown)
