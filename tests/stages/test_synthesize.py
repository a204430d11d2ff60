from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.prepared import read_catalogue, read_histories, read_profiles, read_user_ids
from llmi2i_cli.artifacts.schemas import CANDIDATES
from llmi2i_cli.llm import generate
from llmi2i_cli.llm.generate import load_generator, rank_block
from tests.conftest import as_own, run


@pytest.fixture
def workdir(pipeline, tmp_path):
    """Everything before this stage."""
    for folder in ("prepare", "sft-gen"):
        shutil.copytree(pipeline / folder, tmp_path / "work" / folder)
    return tmp_path / "work"


def candidates(workdir):
    return pl.read_parquet(workdir / "synthesize/candidates.parquet")


def manifest(workdir):
    return json.loads((workdir / "synthesize/manifest.json").read_text())


def test_each_user_gets_the_likeliest_unseen_items(workdir, capfd):
    assert run("synthesize", "--history", 4, "--recall-number", 6, "-w", workdir) == 0
    assert capfd.readouterr().err == ""
    found = candidates(workdir)
    assert dict(found.schema) == dict(CANDIDATES)
    assert sorted(path.name for path in (workdir / "synthesize").iterdir()) == [
        "candidates.parquet",
        "manifest.json",
        "questions.parquet",
    ]
    catalogue, histories, user_ids = read_catalogue(workdir), read_histories(workdir), read_user_ids(workdir)
    generator = load_generator(workdir / "sft-gen/model", catalogue, read_profiles(workdir))
    users = np.flatnonzero(histories.lengths > 0)
    items, logprobs = rank_block(generator, users.tolist(), histories, histories, history=4, top_n=6)
    kept = items >= 0
    assert found["user_id"].to_list() == user_ids.gather(np.repeat(users, kept.sum(1))).to_list()
    assert found["item_id"].to_list() == catalogue.ids.gather(items[kept]).to_list()
    assert found["logprob"].to_list() == logprobs[kept].tolist()
    assert (manifest(workdir)["users"], manifest(workdir)["outputs"]["candidates.parquet"]["rows"]) == (
        len(users),
        len(found),
    )
    for (user,), rows in found.group_by("user_id"):
        assert rows["rank"].to_list() == list(range(1, len(rows) + 1))
        assert rows["logprob"].is_sorted(descending=True)
        seen = {catalogue.ids[int(k)] for k in histories.row(user_ids.to_list().index(user))}
        assert not seen & set(rows["item_id"])


def test_however_it_is_shared_the_bytes_are_the_same(workdir, monkeypatch, capsys):
    monkeypatch.setattr(generate, "BLOCK_USERS", 32)  # five blocks
    shutil.copytree(workdir, workdir.parent / "shared")
    assert run("synthesize", "-w", workdir) == 0
    shared = workdir.parent / "shared"
    for shard in (3, 1, 2):
        capsys.readouterr()
        assert run("synthesize", "--shards", 3, "--shard", shard, "-w", shared) == 0
        assert (shared / "synthesize/candidates.parquet").exists() == (shard == 2)
    name = "synthesize/candidates.parquet"
    assert (shared / name).read_bytes() == (workdir / name).read_bytes()
    assert run("synthesize", "-w", shared) == 0
    assert "synthesize is up to date" in capsys.readouterr().err


def test_interrupted_it_goes_on_with_the_blocks_that_are_left(workdir, monkeypatch):
    monkeypatch.setattr(generate, "BLOCK_USERS", 32)
    shutil.copytree(workdir, workdir.parent / "whole")
    assert run("synthesize", "-w", workdir.parent / "whole") == 0
    asked = []

    def killed_at_the_third(generator, users, *rest, **options):
        asked.append(users)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return rank_block(generator, users, *rest, **options)

    monkeypatch.setattr(generate, "rank_block", killed_at_the_third)
    assert run("synthesize", "-w", workdir) == 130
    assert not (workdir / "synthesize/candidates.parquet").exists()
    assert run("synthesize", "-w", workdir) == 0
    assert asked[3] == asked[2]  # the third block again, the first two not
    assert len(asked) == 3 + 3
    name = "synthesize/candidates.parquet"
    assert (workdir / name).read_bytes() == (workdir.parent / "whole" / name).read_bytes()


def test_only_some_users(workdir, tmp_path):
    users = read_user_ids(workdir)
    (tmp_path / "users.txt").write_text(f"{users[7]}\n{users[2]}\n\n{users[7]}\n")
    assert run("synthesize", "-w", workdir) == 0
    everyone = candidates(workdir)
    assert run("synthesize", "--only-users", tmp_path / "users.txt", "-w", workdir) == 0
    found = candidates(workdir)
    assert found["user_id"].unique(maintain_order=True).to_list() == [users[2], users[7]]
    expected = everyone.filter(pl.col("user_id").is_in([users[2], users[7]]))
    assert found.drop("logprob").equals(expected.drop("logprob"))
    np.testing.assert_allclose(found["logprob"], expected["logprob"], atol=1e-5)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"u-nobody\n", "users.txt, entry 1: user 'u-nobody' is not in prepare/users.parquet"),
        (b"", "users.txt names no user: put one id on each line"),
        (b"\xff\xfe", "users.txt cannot be read as a list of users, one id per line"),
    ],
)
def test_a_list_of_users_that_cannot_be(workdir, tmp_path, capsys, content, message):
    (tmp_path / "users.txt").write_bytes(content)
    assert run("synthesize", "--only-users", tmp_path / "users.txt", "-w", workdir) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (workdir / "synthesize/candidates.parquet").exists()


def test_held_out_interactions_have_no_say(workdir):
    """The candidates of a log whose validation and test items are all other ones."""
    assert run("synthesize", "-w", workdir) == 0
    before = (workdir / "synthesize/candidates.parquet").read_bytes()
    path = workdir / "prepare/interactions.parquet"
    as_own(workdir, "prepare/interactions.parquet")
    table = pl.read_parquet(path)
    other = pl.when(split="train").then("item_id").otherwise(pl.lit(table["item_id"][0]))
    table.with_columns(other.alias("item_id")).write_parquet(path)
    assert run("synthesize", "-w", workdir) == 0
    assert (workdir / "synthesize/candidates.parquet").read_bytes() == before


def test_what_is_missing_or_damaged_is_named_with_its_remedy(workdir, capsys):
    as_own(workdir, "sft-gen/model/")
    (workdir / "sft-gen/model/llmi2i.json").unlink()
    assert run("synthesize", "-w", workdir) == 1
    assert (
        "not a checkpoint of llmi2i (llmi2i.json is missing or damaged): run `llmi2i sft-gen" in capsys.readouterr().err
    )
    shutil.rmtree(workdir / "sft-gen")
    assert run("synthesize", "-w", workdir) == 1
    assert f"sft-gen/model is missing: run `llmi2i sft-gen -w {workdir}` first" in capsys.readouterr().err.replace(
        "model/", "model"
    )


def test_llm_cf_proposes_what_followed_similar_histories(workdir):
    from llmi2i_cli.llm.llm_cf import of_others

    assert run("synthesize", "--method", "llm-cf", "--history", 4, "--recall-number", 6, "-w", workdir) == 0
    assert manifest(workdir)["options"]["method"] == "llm-cf"
    found = candidates(workdir)
    catalogue, histories, user_ids = read_catalogue(workdir), read_histories(workdir), read_user_ids(workdir)
    generator = load_generator(workdir / "sft-gen/model", catalogue, read_profiles(workdir))
    users = np.flatnonzero(histories.lengths > 0)
    items, logprobs = of_others(generator, histories, 4, 6)(users.tolist())
    kept = items >= 0
    assert found["user_id"].to_list() == user_ids.gather(np.repeat(users, kept.sum(1))).to_list()
    assert found["item_id"].to_list() == catalogue.ids.gather(items[kept]).to_list()
    assert found["logprob"].to_list() == pytest.approx(logprobs[kept].tolist())
