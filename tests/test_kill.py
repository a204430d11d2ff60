"""kill -9 in every stage, then the same command again: the same bytes, and what was finished is not done again.

Every stage is killed once as a process, at a mark on the disk. The same command is then run in this process, with
partial work left in place, so that it can be seen which of its files were not written again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from llmi2i_cli.runs.manifests import read_manifest
from llmi2i_cli.runs.workdir import StageRun
from tests.conftest import TINY_STAGES, run

PATIENCE_SECONDS = 300  # for a mark that never comes
USERS_A_BLOCK = 32

# Runs the command line with smaller blocks of users than the program's, so that a small log has several.
PROGRAM = f"""
import sys
from llmi2i_cli.__main__ import main
if sys.argv[1] == "synthesize":
    import llmi2i_cli.llm.generate as generate
    generate.BLOCK_USERS = {USERS_A_BLOCK}
elif sys.argv[1] == "filter":
    import llmi2i_cli.stages.filter as stage
    stage.USERS_PER_BLOCK = {USERS_A_BLOCK}
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("llmi2i_cli.llm.generate.BLOCK_USERS", USERS_A_BLOCK)
    monkeypatch.setattr("llmi2i_cli.stages.filter.USERS_PER_BLOCK", USERS_A_BLOCK)


def options_of(stage, *chosen):
    """The options with which the fixture `pipeline` ran a stage."""
    [found] = [options for name, *options in TINY_STAGES if name == stage and set(chosen) <= set(options)]
    return found


def kill_at(mark, folder, *command):
    """Run a command and kill it as soon as a file of its partial directory matches `mark`; what there was by then."""
    arguments = [str(argument) for argument in command]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=-1, stderr=-1) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not list(folder.glob(mark)):
            if process.poll() is not None or time.monotonic() > deadline:
                break
            os.sched_yield()
            time.sleep(0.001)
        process.kill()
        _, error = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before it could be killed: {error.decode()}"
    return {
        path: path.stat().st_mtime_ns
        for partial in folder.glob(".partial-*")
        for path in partial.rglob("*")
        if path.is_file() and not path.name.endswith(".tmp")
    }


def resume(monkeypatch, *command):
    """Run the command to its end in this process, leaving partial work where it is."""
    with monkeypatch.context() as patch:
        patch.setattr(StageRun, "_sweep", lambda run: None)
        assert run(*command) == 0


def cleared(workdir, folder):
    """The stage as before its first run."""
    shutil.rmtree(workdir / folder)
    return workdir / folder


def results(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("manifest.json") and ".partial-" not in str(path)
    }


def untouched(marks, names):
    """Of the files at the time of the kill those that match are still there, as they were."""
    chosen = {path: when for path, when in marks.items() if any(path.match(name) for name in names)}
    assert chosen
    assert {path: path.stat().st_mtime_ns for path in chosen} == chosen


@pytest.fixture
def workdir(pipeline, tmp_path):
    shutil.copytree(pipeline, tmp_path / "work")
    return tmp_path / "work"


def manifest_of(folder: Path) -> dict:
    manifest = read_manifest(folder / "manifest.json")
    assert manifest is not None
    return manifest


def test_prepare(shop, tmp_path, monkeypatch):
    log = tmp_path / "log"
    assert run("simulate", log, "--users", 8000, "--items", 500, "--interactions", 300_000) == 0
    command = ("prepare", log / "interactions.parquet", "--items", log / "items.parquet", "--bucket-mib", 1)
    assert run(*command, "-w", tmp_path / "whole") == 0
    folder = tmp_path / "work/prepare"
    marks = kill_at(".partial-*/scratch/log/00001-clean.parquet", folder, *command, "-w", tmp_path / "work")
    resume(monkeypatch, *command, "-w", tmp_path / "work")
    untouched(marks, ["*-clean.parquet"])
    assert results(folder) == results(tmp_path / "whole/prepare")


def test_sft_gen(pipeline, workdir, monkeypatch):
    folder = cleared(workdir, "sft-gen")
    command = ("sft-gen", *options_of("sft-gen"), "--checkpoint-steps", 4, "-w", workdir)
    kill_at(".partial-*/checkpoints/checkpoint-8/complete.json", folder, *command)
    resume(monkeypatch, *command)
    whole = manifest_of(pipeline / "sft-gen")["steps_this_run"]
    assert manifest_of(folder)["steps_this_run"] <= whole - 8
    assert results(folder) == results(pipeline / "sft-gen")


def test_sft_disc(pipeline, workdir, monkeypatch):
    folder = cleared(workdir, "sft-disc")
    # Every third step is logged, with checkpoints there or without.
    command = ("sft-disc", *options_of("sft-disc"), "--checkpoint-steps", 3, "-w", workdir)
    marks = kill_at(".partial-*/checkpoints/checkpoint-3/complete.json", folder, *command)
    resume(monkeypatch, *command)
    whole = manifest_of(pipeline / "sft-disc")["steps_this_run"]
    assert manifest_of(folder)["steps_this_run"] <= whole - 3
    published = {folder.joinpath(*path.relative_to(folder).parts[1:]): when for path, when in marks.items()}
    untouched(published, ["held-back/model/*"])
    assert results(folder) == results(pipeline / "sft-disc")


@pytest.mark.parametrize(("stage", "output"), [("synthesize", "candidates.parquet"), ("filter", "scored.parquet")])
def test_stages_in_blocks(workdir, monkeypatch, small_blocks, stage, output):
    command = (stage, *options_of(stage), "-w", workdir)
    assert run(*command, "--force") == 0
    whole = results(workdir / stage)
    folder = cleared(workdir, stage)
    block = output.removesuffix(".parquet")
    marks = kill_at(f".partial-*/{block}-000001.parquet", folder, *command)
    resume(monkeypatch, *command)
    untouched(marks, [f"{block}-000000.parquet", f"{block}-000001.parquet"])
    assert whole.keys() == {output, "questions.parquet"}
    assert results(folder) == whole


def test_fuse(pipeline, workdir, monkeypatch):
    folder = cleared(workdir, "fuse")
    command = ("fuse", *options_of("fuse"), "-w", workdir)
    kill_at(".partial-*/points.jsonl", folder, *command)
    [points] = folder.glob(".partial-*/points.jsonl")
    done = points.read_bytes()
    done = done[: done.rfind(b"\n") + 1]
    resume(monkeypatch, *command)
    assert points.read_bytes().startswith(done)
    assert len(points.read_text().splitlines()) == len(pl.read_parquet(folder / "sweep.parquet"))  # each trained once
    assert results(folder) == results(pipeline / "fuse")


@pytest.mark.parametrize(
    ("options", "mark"),
    [
        (("--model", "swing", "--data", "fused", "--tune"), ".partial-*/point-1.json"),
        (("--model", "bm25", "--tune"), ".partial-*/point-1.json"),
        (("--model", "bpr", "--iterations", "300"), ".partial-*"),
        (("--model", "youtubednn", "--epochs", "40", "--patience", "40", "--dimensions", "8"), ".partial-*/point-0.pt"),
    ],
    ids=["swing", "bm25", "bpr", "youtubednn"],
)
def test_train_i2i(workdir, tmp_path, monkeypatch, options, mark):
    command = ("train-i2i", *options, "-w", workdir)
    assert run(*command, "--force") == 0
    folder = workdir / "i2i"
    whole = results(folder)
    data = "fused" if "fused" in options else "real"
    for path in folder.glob(f"{options[1]}-{data}.*"):
        path.unlink()
    marks = kill_at(mark, folder, *command)
    resume(monkeypatch, *command)
    if "--tune" in options:
        untouched(marks, ["point-0.json", "point-1.json"])
    assert results(folder) == whole


def test_evaluate(pipeline, workdir, monkeypatch):
    folder = cleared(workdir, "evaluate")
    command = ("evaluate", *options_of("evaluate"), "-w", workdir)
    kill_at(".partial-*", folder, *command)
    assert results(folder) == {}
    resume(monkeypatch, *command)
    assert results(folder) == results(pipeline / "evaluate")


def test_export_index(pipeline, workdir, monkeypatch):
    folder = cleared(workdir, "index")
    command = ("export-index", *options_of("export-index"), "-w", workdir)
    kill_at(".partial-*", folder, *command)
    resume(monkeypatch, *command)
    assert results(folder) == results(pipeline / "index")


def test_simulate(tmp_path):
    options = ("--users", 60_000, "--items", 500, "--interactions", 1_500_000)
    assert run("simulate", tmp_path / "whole", *options) == 0
    kill_at(".partial-*/interactions-*.parquet", tmp_path / "out", "simulate", tmp_path / "out", *options)
    assert run("simulate", tmp_path / "out", *options) == 0
    for name in ("interactions.parquet", "items.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
