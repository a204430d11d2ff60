"""Nothing that is trained or tuned has seen the test split: not its items in the raw log, not even that they exist."""

from __future__ import annotations

import json
import random

import polars as pl

from tests.conftest import TINY_STAGES, run

REPORTING = {"evaluate"}  # what may, and should, change with the test items


def artifacts(workdir):
    """Every artifact but manifests, which name the hash of the changed input, and what was measured on test."""
    return {
        str(path.relative_to(workdir)): path.read_bytes()
        for path in sorted(workdir.rglob("*"))
        if path.is_file()
        and not path.name.endswith("manifest.json")
        and not {"prepare", "refit", *REPORTING} & set(path.relative_to(workdir).parts)
    }


def whole_road(log, workdir):
    """All stages on a raw log without a catalogue, and all again on train and valid."""
    path = workdir.with_suffix(".parquet")
    log.write_parquet(path)
    for stage, *options in (("prepare", path), *TINY_STAGES):
        assert run(stage, *options, "-w", workdir) == 0
    assert run("refit", "-w", workdir, "--to", workdir / "refitted", "--to-split", "valid") == 0


def test_with_other_test_items_every_trained_and_tuned_artifact_is_the_same(shop, tmp_path):
    log = pl.read_parquet(shop / "interactions.parquet").sort("user_id", "timestamp", maintain_order=True)
    is_test = (pl.int_range(pl.len()) == pl.len() - 1).over("user_id") & (pl.len().over("user_id") >= 3)
    # Every other one is a new item, which stands nowhere else; the rest are drawn from the log.
    drawn = random.Random(0).choices(log["item_id"].unique().sort().to_list(), k=len(log))
    other = pl.Series([f"new-{row}" if row % 2 else item for row, item in enumerate(drawn)])
    changed = log.with_columns(item_id=pl.when(is_test).then(other).otherwise("item_id"))
    assert (changed["item_id"] != log["item_id"]).sum() > 100
    whole_road(log, tmp_path / "one")
    whole_road(changed, tmp_path / "two")
    expected, found = artifacts(tmp_path / "one"), artifacts(tmp_path / "two")
    assert {name.split("/")[0] for name in expected} == {
        "sft-gen", "sft-disc", "synthesize", "filter", "fuse", "i2i", "index", "refitted"
    }  # fmt: skip
    assert list(found) == list(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    for workdir in ("", "refitted"):
        paths = [tmp_path / name / workdir / "prepare/items.parquet" for name in ("one", "two")]
        items = [pl.read_parquet(path).drop("is_long_tail") for path in paths]
        assert items[0].equals(items[1])
    choices = [json.loads((tmp_path / name / "refitted/refit/choices.json").read_text()) for name in ("one", "two")]
    assert choices[0]["lookups"] == choices[1]["lookups"]
    assert choices[0]["steps"][1:] == choices[1]["steps"][1:]  # the first names the log
    report = "evaluate/swing-fused-test.json"
    assert (tmp_path / "one" / report).read_bytes() != (tmp_path / "two" / report).read_bytes()
