"""`synthesize` and `filter` ask again only what they have not asked the same model before, with the same bytes."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest

from llmi2i_cli.llm import generate, judge
from tests.conftest import TINY_STAGES, as_own, run

OPTIONS = {name: options for name, *options in TINY_STAGES if name in ("synthesize", "filter")}
LOG = "prepare/interactions.parquet"


@pytest.fixture
def workdir(pipeline, tmp_path):
    for folder in ("prepare", "sft-gen", "sft-disc", "synthesize", "filter"):
        shutil.copytree(pipeline / folder, tmp_path / "work" / folder)
    return tmp_path / "work"


def artifacts(workdir, stage):
    return {path.name: path.read_bytes() for path in (workdir / stage).glob("*.parquet")}


def manifest(workdir, stage):
    return json.loads((workdir / stage / "manifest.json").read_text())


def change_train(workdir, change):
    as_own(workdir, LOG)
    table = pl.read_parquet(workdir / LOG)
    change(table).write_parquet(workdir / LOG)


def drop_first(table):
    """Every tenth user loses the first train interaction: of most the model is shown the same, but less is seen."""
    users = table["user_id"].unique(maintain_order=True).gather_every(10)
    first = pl.int_range(pl.len()).over("user_id") == 0
    return table.filter(~(first & pl.col("user_id").is_in(users.implode())))


def asked_with(workdir):
    """What the generator is asked with, by user: the ten most recent items, and those that are seen."""
    train = pl.read_parquet(workdir / LOG).filter(split="train")
    items = {user: rows["item_id"].to_list() for (user,), rows in train.group_by("user_id")}
    return {user: (row[-10:], set(row)) for user, row in items.items()}


def counted(monkeypatch, module, name):
    asked = []
    original = getattr(module, name)

    def counting(model, users, *rest, **more):
        asked.extend(users)
        return original(model, users, *rest, **more)

    monkeypatch.setattr(module, name, counting)
    return asked


def test_who_is_asked_the_same_keeps_the_rows_and_the_bytes_are_those_of_a_run_from_scratch(
    workdir, tmp_path, monkeypatch, capsys
):
    before = asked_with(workdir)
    change_train(workdir, drop_first)
    after = asked_with(workdir)
    n_changed = sum(before[user] != asked for user, asked in after.items())
    assert 10 <= n_changed <= 15
    scratch = tmp_path / "scratch"
    shutil.copytree(workdir, scratch)
    for stage, options in OPTIONS.items():
        shutil.rmtree(scratch / stage)
        assert run(stage, *options, "-w", scratch) == 0
        assert manifest(scratch, stage)["users_kept"] == 0
    n_users = manifest(scratch, "synthesize")["users"]
    proposed = counted(monkeypatch, generate, "rank_block")
    judged = counted(monkeypatch, judge, "answers")
    capsys.readouterr()
    assert run("synthesize", *OPTIONS["synthesize"], "-w", workdir) == 0
    kept = manifest(workdir, "synthesize")["users_kept"]
    assert (len(proposed), kept) == (n_changed, n_users - n_changed)
    told = f"synthesize: {kept} of {n_users} users are asked the same as last time and keep their rows\n"
    assert capsys.readouterr().err == told
    assert run("filter", "-w", workdir) == 0
    kept = manifest(workdir, "filter")["users_kept"]
    assert len(judged) == n_users - kept
    assert n_changed <= len(judged) < n_users  # a count that moved across the edge of a bucket is another question
    for stage in OPTIONS:
        assert artifacts(workdir, stage) == artifacts(scratch, stage)


def test_another_threshold_asks_nobody_again(workdir, tmp_path, monkeypatch):
    judged = counted(monkeypatch, judge, "answers")
    assert run("filter", "--min-confidence", 0.9, "-w", workdir) == 0
    assert judged == []
    found = pl.read_parquet(workdir / "filter/scored.parquet")
    assert found["keep"].to_list() == (found["confidence"] >= 0.9).to_list()


@pytest.mark.parametrize("how", ["force", "another-number", "another-model", "changed-table"])
def test_all_are_asked_again(workdir, monkeypatch, how):
    n_users = manifest(workdir, "synthesize")["users"]
    proposed = counted(monkeypatch, generate, "rank_block")
    options = list(OPTIONS["synthesize"])
    if how == "force":
        options.append("--force")
    elif how == "another-number":
        options[-1] = "5"
    elif how == "another-model":
        assert run("sft-gen", "--epochs", 0.1, "--batch-size", 32, "-w", workdir) == 0
    else:
        path = workdir / "synthesize/candidates.parquet"
        pl.read_parquet(path).with_columns(pl.col("logprob") * 2).write_parquet(path)
    proposed.clear()  # a training asks the generator, too
    assert run("synthesize", *options, "-w", workdir) == 0
    assert len(proposed) == n_users
    assert manifest(workdir, "synthesize")["users_kept"] == 0


def test_new_users_come_between_the_others(workdir, tmp_path):
    """Rows of the last run are found by user, wherever the user stands now."""

    def add(table):
        copies = table.filter(pl.col("user_id").is_in(table["user_id"].unique(maintain_order=True).head(40).implode()))
        return pl.concat([table, copies.with_columns(user_id="0" + pl.col("user_id"))])

    users = workdir / "prepare/users.parquet"
    change_train(workdir, add)
    table = pl.read_parquet(users)
    added = table.head(40).with_columns(user_id="0" + pl.col("user_id"))
    pl.concat([added, table]).write_parquet(users)
    pl.read_parquet(workdir / LOG).sort("user_id", maintain_order=True).write_parquet(workdir / LOG)
    scratch = tmp_path / "scratch"
    shutil.copytree(workdir, scratch)
    shutil.rmtree(scratch / "synthesize")
    for each in (scratch, workdir):
        assert run("synthesize", *OPTIONS["synthesize"], "-w", each) == 0
    assert manifest(workdir, "synthesize")["users_kept"] == manifest(scratch, "synthesize")["users"] - 40
    assert artifacts(workdir, "synthesize") == artifacts(scratch, "synthesize")
