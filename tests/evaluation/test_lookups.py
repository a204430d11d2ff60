"""M and decay where there is nothing to choose by: as measured, else as carried over by a refit."""

from __future__ import annotations

import json
import shutil

import pytest

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.evaluation.lookups import carried_lookup, chosen_lookup
from llmi2i_cli.evaluation.validation import Lookup
from tests.conftest import run
from tests.stages.shop import prepare_shop


@pytest.fixture
def workdir(tmp_path):
    workdir = prepare_shop(tmp_path)
    assert run("train-i2i", "-w", workdir) == 0
    return workdir


def carry(workdir, text):
    (workdir / "refit").mkdir(exist_ok=True)
    (workdir / "refit/choices.json").write_text(text)


def test_what_was_measured_comes_before_what_was_carried_over(workdir, capsys):
    assert chosen_lookup(workdir, "swing", "real") is None
    carry(workdir, json.dumps({"lookups": {"swing-real": {"recent": 7, "decay": 0.9}}}))
    assert chosen_lookup(workdir, "swing", "real") == carried_lookup(workdir, "swing", "real") == Lookup(7, 0.9)
    assert chosen_lookup(workdir, "swing", "fused") is None
    assert run("evaluate", "--recent", 2, "--decay", 0.5, "-w", workdir) == 0
    assert chosen_lookup(workdir, "swing", "real") == Lookup(2, 0.5)
    assert run("train-i2i", "--smoothing", 9, "-w", workdir) == 0  # another table than was measured
    capsys.readouterr()
    assert chosen_lookup(workdir, "swing", "real") == Lookup(7, 0.9)
    assert capsys.readouterr().err == ""


def test_the_generators_m_is_that_of_its_evaluation(pipeline, tmp_path):
    for folder in ("prepare", "sft-gen"):
        shutil.copytree(pipeline / folder, tmp_path / folder)
    assert run("evaluate", "--model", "generator", "--recent", 5, "-w", tmp_path) == 0
    assert chosen_lookup(tmp_path, "generator", "real") == Lookup(5, 1.0)
    (tmp_path / "sft-gen/model/config.json").write_text("{}")
    assert chosen_lookup(tmp_path, "generator", "real") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lookups": {"swing-real": {"recent": "x"}}}'])
def test_damage_is_told(tmp_path, text):
    carry(tmp_path, text)
    with pytest.raises(ArtifactError, match=r"choices\.json is damaged: run `llmi2i refit -w WORK --to .*` again"):
        carried_lookup(tmp_path, "swing", "real")
