from __future__ import annotations

import json
import shutil

import pytest

from llmi2i_cli.runs.manifests import read_manifest
from tests.conftest import run

EVALUATE = ("evaluate", "--model", "swing", "--data", "fused", "--baseline", "real")


@pytest.fixture
def workdir(pipeline, tmp_path):
    return shutil.copytree(pipeline, tmp_path / "work")


def test_evaluate_draws_what_is_there_without_measuring_again(workdir, capsys):
    path = workdir / "evaluate/swing-fused-test.manifest.json"
    before = read_manifest(path)
    capsys.readouterr()
    assert run(*EVALUATE, "--plot", "-w", workdir) == 0
    names = [f"swing-fused-test.{name}" for name in ("recall-by-popularity", "recommended", "gains")]
    pictures = [workdir / "evaluate" / f"{name}.{ending}" for name in names for ending in ("png", "svg")]
    assert [path.name for path in pictures if not path.exists()] == []
    told = capsys.readouterr().err.splitlines()
    assert "up to date" in told[0]
    assert told[1:] == [f"evaluate: {path}" for path in pictures]
    assert read_manifest(path) == before
    assert run("status", "--json", "-w", workdir) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in rows if row["stage"] == "evaluate"] == ["done"]
    assert run(*EVALUATE, "--k", "3", "-w", workdir) == 0  # another result: these are no longer its pictures
    assert [path.name for path in pictures if path.exists()] == []


def test_fuse_draws_its_sweep_where_there_is_one(workdir, capsys):
    assert run("fuse", "--recall-number", "3", "--plot", "-w", workdir) == 0
    assert (workdir / "fuse/sweep.png").exists()
    assert "any confidence" in (workdir / "fuse/sweep.svg").read_text()
    capsys.readouterr()
    assert run("fuse", "--no-tune", "--plot", "-w", workdir) == 0
    assert capsys.readouterr().err == "fuse: nothing was tuned, so there is no sweep to plot\n"
    assert not (workdir / "fuse/sweep.svg").exists()
