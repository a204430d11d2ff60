"""JSON that nests more deeply than Python reads is an error like any other, wherever it is read."""

from __future__ import annotations

import json

import polars as pl
import pytest

from llmi2i_cli.data.json_lines import parse_object
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.documents import parse_json, read_json
from llmi2i_cli.i2i.served_index import ServedIndex
from llmi2i_cli.llm.calibration import Calibration
from llmi2i_cli.llm.feature_tokens import Buckets
from llmi2i_cli.llm.saved_models import CARD, read_card
from llmi2i_cli.runs.locks import holders, lock
from llmi2i_cli.runs.manifests import read_manifest

DEEP = "[" * 100_000 + "]" * 100_000


def test_what_is_read_is_what_json_says(tmp_path):
    value = {"a": [1, 0.5, None, "é"]}
    (tmp_path / "value").write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    assert read_json(tmp_path / "value") == parse_json(json.dumps(value)) == value
    for text in ("", "{", "[1,]", DEEP):
        with pytest.raises(ValueError):
            parse_json(text)
    (tmp_path / "value").write_bytes(b"\xff")
    with pytest.raises(ValueError):
        read_json(tmp_path / "value")


@pytest.mark.parametrize(
    "read",
    [
        lambda path: ServedIndex.open(path.parent),
        lambda path: read_card(path.parent, pl.Series(["a"]), "run it again"),
        lambda path: Calibration.load(path, "run it again"),
        lambda path: Buckets.load(path, "run it again"),
    ],
)
def test_artifacts(tmp_path, read):
    path = tmp_path / "meta.json"
    path.write_text(DEEP)
    path.with_name(CARD).write_text(DEEP)
    with pytest.raises(ArtifactError, match=r"run .* again"):
        read(path)


def test_manifests_locks_and_lines(tmp_path):
    (tmp_path / "manifest.json").write_text(DEEP)
    assert read_manifest(tmp_path / "manifest.json") is None
    with lock(tmp_path, "fuse", "fuse"):
        (tmp_path / ".locks/fuse.lock").write_text(DEEP + "\n")
        assert holders(tmp_path) == []
    for python_literals in (False, True):
        with pytest.raises(ValueError, match=r"nested too deeply|nor a Python literal"):
            parse_object(DEEP, python_literals=python_literals)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "a": 2}}]'])
def test_a_key_that_is_there_twice_says_two_things(text):
    with pytest.raises(ValueError, match="the key 'a' is there twice"):
        parse_json(text)


@pytest.mark.parametrize(("slope", "intercept"), [(float("nan"), 0.0), (0.0, 0.0), (-1.0, 0.0), (1.0, float("inf"))])
def test_a_calibration_that_would_turn_confidences_round_is_damaged(tmp_path, slope, intercept):
    path = tmp_path / "calibration.json"
    Calibration(slope, intercept).save(path)
    with pytest.raises(ArtifactError, match="is damaged: run it again"):
        Calibration.load(path, "run it again")
