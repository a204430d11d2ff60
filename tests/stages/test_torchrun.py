"""Fine-tuning in two processes by torchrun: one of them owns the stage, and the result is that of one process."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest

import llmi2i_cli.__main__
from tests.conftest import TINY_STAGES, run
from tests.torchrun import torchrun, torchrun_and_kill

OPTIONS = {stage: options for stage, *options in TINY_STAGES}


def contents(folder):
    """Every artifact's bytes; manifests hold seconds."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_killed_and_started_again_they_end_with_the_same_bytes(prepared, tmp_path):
    for name in ("whole", "killed"):
        shutil.copytree(prepared, tmp_path / name)
    command = ("sft-gen", *OPTIONS["sft-gen"], "--checkpoint-steps", 4)
    whole = torchrun("llmi2i_cli", *command, "-w", tmp_path / "whole", "--json")
    assert whole.returncode == 0
    assert whole.stderr.startswith("validation Recall@10: ")  # said once, of two
    assert whole.stderr.count("validation Recall@10: ") == 1
    manifest = json.loads(whole.stdout)  # printed once
    folder = tmp_path / "killed/sft-gen"
    torchrun_and_kill(
        folder, ".partial-*/checkpoints/checkpoint-8/complete.json", "llmi2i_cli", *command, "-w", tmp_path / "killed"
    )
    resumed = torchrun("llmi2i_cli", *command, "-w", tmp_path / "killed", "--json")
    assert (resumed.returncode, resumed.stderr) == (0, whole.stderr)
    assert json.loads(resumed.stdout)["steps_this_run"] <= manifest["steps_this_run"] - 8
    assert contents(folder) == contents(tmp_path / "whole/sft-gen")


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed")
def test_both_trainings_of_the_discriminator_by_deepspeed(pipeline, tmp_path):
    for folder in ("prepare", "sft-gen"):
        shutil.copytree(pipeline / folder, tmp_path / "work" / folder)
    command = ("sft-disc", *OPTIONS["sft-disc"], "--deepspeed", "zero2", "-w", tmp_path / "work")
    done = torchrun("llmi2i_cli", *command, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["steps_this_run"] > 0
    found, alone = tmp_path / "work/sft-disc", pipeline / "sft-disc"
    assert contents(found).keys() == contents(alone).keys()
    assert [entry["step"] for entry in log_of(found)] == [entry["step"] for entry in log_of(alone)]
    assert log_of(found)[0]["loss"] == pytest.approx(
        log_of(alone)[0]["loss"], rel=0.1
    )  # dropout and its negatives vary

    again = torchrun("llmi2i_cli", *command)
    assert again.returncode == 0
    assert again.stderr == f"sft-disc is up to date ({found})\n"


def test_a_mistake_is_told_once(tmp_path):
    done = torchrun("llmi2i_cli", "sft-gen", "-w", tmp_path / "work")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    path = tmp_path / "work/prepare/interactions.parquet"
    assert lines == [f"Error: {path} is missing: run `llmi2i prepare INPUT... -w {tmp_path / 'work'}` first"]
    assert done.stdout == ""
    assert not (tmp_path / "work").exists()


@pytest.fixture
def one_of_two(monkeypatch):
    """Environment of a process of two, as torchrun sets it."""

    def start(rank):
        for name, value in (("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", 2)):
            monkeypatch.setenv(name, str(value))

    return start


@pytest.mark.parametrize("stage", ["prepare", "synthesize", "filter", "fuse"])
def test_other_stages_are_not_for_torchrun(pipeline, one_of_two, capsys, stage):
    one_of_two(0)
    inputs = [pipeline / "prepare/interactions.parquet"] if stage == "prepare" else []
    assert run(stage, *inputs, "-w", pipeline) == 2
    assert capsys.readouterr().err == (
        f"Error: `llmi2i {stage}` runs as one process: start it without torchrun "
        "(synthesize and filter share their users out with --shards and --shard)\n"
    )


def test_what_only_another_process_knows_it_says_after_a_while(pipeline, one_of_two, monkeypatch, capsys):
    one_of_two(1)
    waited: list[float] = []
    monkeypatch.setattr(llmi2i_cli.__main__.time, "sleep", waited.append)
    assert run("synthesize", "-w", pipeline) == 2
    assert capsys.readouterr().err.startswith("Error: process 1: `llmi2i synthesize` runs as one process")
    assert waited == [llmi2i_cli.__main__.GRACE_SECONDS]


def test_only_the_first_process_is_heard(one_of_two, capfd):
    one_of_two(1)
    assert run("--version") == 0
    one_of_two(0)
    assert capfd.readouterr().out == ""
    assert run("--version") == 0
    assert capfd.readouterr().out.startswith("llmi2i ")
