"""`llmi2i status`: done, stale and why, interrupted, missing."""

from __future__ import annotations

import json
import os
import shutil

import pytest

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


def test_nothing_has_run(tmp_path):
    rows = status(tmp_path / "nowhere")
    assert [row["stage"] for row in rows] == [name for name in STAGES if not name.endswith("-only")]
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


def test_an_interrupted_stage_is_told(workdir):
    with (
        pytest.raises(KeyboardInterrupt),
        stage_run(workdir, "export-index", options={}, variant={"model": "swing", "data": "real", "format": "mmap"}),
    ):
        raise KeyboardInterrupt
    assert states(workdir)["export-index", ""] == ("partial", "interrupted: the same command goes on")


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


def test_another_version_made_it(workdir, monkeypatch):
    monkeypatch.setattr("llmi2i_cli.stages.status.__version__", "999")
    assert states(workdir)["prepare", ""][1].startswith("made by llmi2i ")


def test_on_the_command_line(workdir, capsys):
    assert run("status", "-w", workdir, "--json") == 0
    assert json.loads(capsys.readouterr().out) == status(workdir)
    assert run("status", "-w", workdir) == 0
    shown = capsys.readouterr().out.splitlines()
    assert any("train-i2i" in line and "swing fused" in line and "done" in line for line in shown)
