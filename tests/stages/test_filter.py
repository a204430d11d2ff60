from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.features import CandidateRows
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import read_catalogue, read_histories, read_profiles, read_user_ids
from llmi2i_cli.artifacts.schemas import SCORED, SCORED_REAL
from llmi2i_cli.files.tables import write_table
from llmi2i_cli.i2i.evidence import Evidence
from llmi2i_cli.llm.feature_tokens import Buckets
from llmi2i_cli.llm.judge import answers, load_discriminator, questions_about
from llmi2i_cli.llm.positions import HISTORY
from llmi2i_cli.stages import filter as module
from tests.conftest import as_own, run

FILES = ["manifest.json", "questions.parquet", "scored.parquet"]


@pytest.fixture
def workdir(pipeline, tmp_path):
    """Everything before this stage."""
    for folder in ("prepare", "sft-gen", "sft-disc", "synthesize"):
        shutil.copytree(pipeline / folder, tmp_path / "work" / folder)
    return tmp_path / "work"


def scored(workdir, name="scored"):
    return pl.read_parquet(workdir / f"filter/{name}.parquet")


class Twin:
    """Judges one candidate at a time."""

    def __init__(self, workdir):
        catalogue = read_catalogue(workdir)
        self.items = {item: k for k, item in enumerate(catalogue.ids)}
        self.users = {user: k for k, user in enumerate(read_user_ids(workdir))}
        self.histories = read_histories(workdir)
        self.discriminator = load_discriminator(workdir / "sft-disc/model", catalogue, read_profiles(workdir))
        self.buckets = Buckets.load(workdir / "sft-disc/model/feature_buckets.json", "")
        self.calibration = json.loads((workdir / "sft-disc/model/calibration.json").read_text())
        self.evidence = Evidence(self.histories, catalogue.texts)

    def confidence(self, user, item, context, logprob=None, rank=None):
        one = np.array([self.items[item]], np.int32)
        row = np.array([self.users[user]])
        contexts = Histories.from_rows([list(context)], self.histories.n_items)
        opinion = () if logprob is None else (np.array([logprob], np.float32), np.array([rank]))
        features = self.evidence.features(CandidateRows(contexts, np.array([0]), row, one, *opinion))
        tokens = self.buckets.tokens(features)
        odds = float(
            answers(
                self.discriminator, questions_about(self.discriminator, row, contexts, np.array([0, 1]), one, tokens)
            )[0]
        )
        if logprob is not None:  # what was calibrated is the judgement on a generator's proposals
            odds = self.calibration["slope"] * odds + self.calibration["intercept"]
        return 1 / (1 + np.exp(-odds))


def test_every_candidate_stays_with_its_verdict(workdir, capfd):
    assert run("filter", "--min-confidence", 0.6, "-w", workdir) == 0
    assert capfd.readouterr().err == ""
    assert sorted(path.name for path in (workdir / "filter").iterdir()) == FILES
    found = scored(workdir)
    assert dict(found.schema) == dict(SCORED)
    candidates = pl.read_parquet(workdir / "synthesize/candidates.parquet")
    assert found.select(candidates.columns).equals(candidates)
    assert (found["label"] == "Yes").to_list() == (found["confidence"] > 0.5).to_list()
    assert found["keep"].to_list() == (found["confidence"] >= np.float32(0.6)).to_list()
    assert 0 < found["keep"].sum() < (found["label"] == "Yes").sum() < len(found)
    facts = json.loads((workdir / "filter/manifest.json").read_text())
    assert facts["kept"] == {"scored.parquet": found["keep"].sum()}
    twin = Twin(workdir)
    for row in found.gather_every(37).iter_rows(named=True):
        context = twin.histories.row(twin.users[row["user_id"]])
        expected = twin.confidence(row["user_id"], row["item_id"], context, row["logprob"], row["rank"])
        assert row["confidence"] == pytest.approx(expected, abs=1e-4)
    assert run("filter", "--min-confidence", 0.2, "-w", workdir) == 0
    lax = scored(workdir)
    assert lax["keep"].to_list() == (lax["label"] == "Yes").to_list()  # a No is never kept
    assert lax.drop("keep").equals(found.drop("keep"))


def test_real_interactions_are_judged_from_the_users_others_nearest_to_them(workdir):
    assert run("filter", "--include-real", "-w", workdir) == 0
    found = scored(workdir, "scored-real")
    assert dict(found.schema) == dict(SCORED_REAL)
    train = pl.read_parquet(workdir / "prepare/interactions.parquet").filter(split="train")
    columns = ["user_id", "item_id", "timestamp"]
    assert found.select(columns).equals(train.select(columns))
    twin = Twin(workdir)
    for number, ((user,), rows) in enumerate(found.group_by("user_id", maintain_order=True)):
        items = [twin.items[item] for item in rows["item_id"]]
        for place in range(number % 5, len(rows), 5):
            before = items[max(0, place - HISTORY) : place]
            after = items[place + 1 : place + 1 + HISTORY - len(before)]
            expected = twin.confidence(user, rows["item_id"][place], [*reversed(after), *before])
            assert rows["confidence"][place] == pytest.approx(expected, abs=1e-4)
        if number == 30:
            break
    assert len(scored(workdir)) == len(pl.read_parquet(workdir / "synthesize/candidates.parquet"))


def test_a_users_only_interaction_is_kept(workdir):
    path = workdir / "prepare/interactions.parquet"
    as_own(workdir, "prepare/interactions.parquet")
    log = pl.read_parquet(path)
    train = pl.col("split") == "train"
    lonely = log["user_id"][0]
    log = log.filter((pl.col("user_id") != lonely) | ~train | (pl.int_range(pl.len()).over("user_id") == 0))
    log.write_parquet(path)
    assert run("filter", "--include-real", "--min-confidence", 1, "-w", workdir) == 0
    kept = scored(workdir, "scored-real").filter("keep")
    assert kept["user_id"].to_list() == [lonely]


def test_however_it_is_shared_the_bytes_are_the_same(workdir, monkeypatch, capsys):
    monkeypatch.setattr(module, "USERS_PER_BLOCK", 40)
    shared = workdir.parent / "shared"
    shutil.copytree(workdir, shared)
    assert run("filter", "--include-real", "-w", workdir) == 0
    for shard in (2, 1):
        assert run("filter", "--include-real", "--shards", 2, "--shard", shard, "-w", shared) == 0
        assert (shared / "filter/scored.parquet").exists() == (shard == 1)
    for name in ("scored.parquet", "scored-real.parquet"):
        assert (shared / "filter" / name).read_bytes() == (workdir / "filter" / name).read_bytes()
    capsys.readouterr()
    assert run("filter", "--include-real", "-w", shared) == 0
    assert "filter is up to date" in capsys.readouterr().err
    assert run("filter", "-w", shared) == 0  # asked without the real log, it is gone: nobody reads it by mistake
    assert sorted(path.name for path in (shared / "filter").iterdir()) == FILES


def test_no_candidates_are_an_empty_table(workdir):
    path = workdir / "synthesize/candidates.parquet"
    as_own(workdir, "synthesize/candidates.parquet")
    write_table(pl.read_parquet(path).clear(), path)
    assert run("filter", "-w", workdir) == 0
    assert scored(workdir).is_empty()
    assert dict(scored(workdir).schema) == dict(SCORED)


def test_a_table_of_candidates_of_ones_own_has_each_users_rows_together(workdir, capsys):
    path = workdir / "synthesize/candidates.parquet"
    as_own(workdir, "synthesize/candidates.parquet")
    by_rank = pl.read_parquet(path).sort("rank", "user_id")
    write_table(by_rank, path)
    assert run("filter", "-w", workdir) == 1
    assert f"the rows of user '{by_rank['user_id'][0]}' do not stand together: sort it" in capsys.readouterr().err


def test_foreign_and_damaged_inputs_are_named(workdir, capsys):
    path = workdir / "synthesize/candidates.parquet"
    as_own(workdir, "synthesize/candidates.parquet")
    table = pl.read_parquet(path)
    write_table(
        table.with_columns(item_id=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("nonesuch")).otherwise("item_id")),
        path,
    )
    assert run("filter", "-w", workdir) == 1
    assert "item_id 'nonesuch' is not in prepare/: it belongs to another log" in capsys.readouterr().err
    path.write_bytes(b"cut short")
    assert run("filter", "-w", workdir) == 1
    error = capsys.readouterr().err
    assert "candidates.parquet is not a readable Parquet file" in error
    assert "run `llmi2i synthesize" in error
    write_table(table, path)
    as_own(workdir, "sft-disc/model/")
    (workdir / "sft-disc/model/feature_buckets.json").write_text("{}")
    assert run("filter", "-w", workdir) == 1
    assert "feature_buckets.json is missing or damaged: run `llmi2i sft-disc" in capsys.readouterr().err
    assert run("filter", "--min-confidence", 1.5, "-w", workdir) == 2


def test_it_computes_the_features_that_the_checkpoint_names(workdir):
    """One trained with fewer features, in another order, is judged by just these."""
    path = workdir / "sft-disc/model/feature_buckets.json"
    as_own(workdir, "sft-disc/model/")
    edges = json.loads(path.read_text())["edges"]
    path.write_text(json.dumps({"edges": {name: edges[name] for name in ("rank", "text")}}))
    assert run("filter", "-w", workdir) == 0
    twin = Twin(workdir)
    assert twin.buckets.names == ("rank", "text")
    for row in scored(workdir).gather_every(97).iter_rows(named=True):
        context = twin.histories.row(twin.users[row["user_id"]])
        expected = twin.confidence(row["user_id"], row["item_id"], context, row["logprob"], row["rank"])
        assert row["confidence"] == pytest.approx(expected, abs=1e-4)


def test_a_checkpoint_of_other_features_is_named_with_the_remedy(workdir, capsys):
    path = workdir / "sft-disc/model/feature_buckets.json"
    as_own(workdir, "sft-disc/model/")
    edges = json.loads(path.read_text())["edges"]
    path.write_text(json.dumps({"edges": {**edges, "price": [1.0]}}))
    assert run("filter", "-w", workdir) == 1
    error = capsys.readouterr().err
    assert "was trained with other features (price) than there are now (bm25, text, popularity, logprob, rank)" in error
    assert error.endswith("run `llmi2i sft-disc --force`\n")
    assert error.count("\n") == 1
