"""Nothing that is trained or tuned has seen the test split."""

from __future__ import annotations

import random
import shutil

import polars as pl

from llmi2i_cli.artifacts.schemas import INTERACTIONS
from llmi2i_cli.files.tables import write_table
from tests.conftest import TINY_STAGES, run

REPORTING = {"evaluate"}  # what may, and should, change with the test items


def artifacts(workdir):
    """Every artifact but manifests, which name the hash of the changed input, and what was measured on test."""
    return {
        str(path.relative_to(workdir)): path.read_bytes()
        for path in sorted(workdir.rglob("*"))
        if path.is_file()
        and not path.name.endswith("manifest.json")
        and path.relative_to(workdir).parts[0] not in {"prepare", *REPORTING}
    }


def test_with_other_test_items_every_trained_and_tuned_artifact_is_the_same(pipeline, prepared, tmp_path):
    workdir = tmp_path / "work"
    shutil.copytree(prepared, workdir)
    path = workdir / "prepare/interactions.parquet"
    log = pl.read_parquet(path)
    items = pl.read_parquet(workdir / "prepare/items.parquet")["item_id"].to_list()
    other = pl.Series(random.Random(0).choices(items, k=len(log)))
    changed = log.with_columns(item_id=pl.when(split="test").then(other).otherwise("item_id"))
    of_test = pl.col("split") == "test"
    assert changed.filter(~of_test).equals(log.filter(~of_test))
    assert (changed.filter(of_test)["item_id"] != log.filter(of_test)["item_id"]).mean() > 0.9  # type: ignore[operator]
    write_table(changed, path, INTERACTIONS)
    for stage, *options in TINY_STAGES:
        assert run(stage, *options, "-w", workdir) == 0
    expected, found = artifacts(pipeline), artifacts(workdir)
    assert {name.split("/")[0] for name in expected} == {
        "sft-gen", "sft-disc", "synthesize", "filter", "fuse", "i2i", "index"
    }  # fmt: skip
    assert list(found) == list(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    report = "evaluate/swing-fused-test.json"
    assert (workdir / report).read_bytes() != (pipeline / report).read_bytes()
