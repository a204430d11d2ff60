"""Logs as shops have them, from the command line to the tables that are trained on them."""

from __future__ import annotations

import random
import shutil

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.prepared import read_fused, read_histories
from llmi2i_cli.artifacts.schemas import read_artifact
from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.i2i.training import Job, train
from llmi2i_cli.runs.manifests import read_manifest
from tests.conftest import run

EVENTS = ("view", "cart", "buy")
OF_EVENTS = ("view=0.25", "cart=0", "buy=2")
WEIGHTS = ("--event-column", "event", *(part for each in OF_EVENTS for part in ("--event-weight", each)))


def events(seed, n_users=30, n_rows=400):
    """user_id, item_id, timestamp in days, event."""
    rng = random.Random(seed)
    rows = [
        (f"u{rng.randrange(n_users)}", f"i{int(rng.random() ** 2 * 25)}", rng.randrange(40), rng.choice(EVENTS))
        for _ in range(n_rows)
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event"], orient="row")


@pytest.fixture(scope="module")
def weighted(tmp_path_factory):
    """A log with events and its work directory. Not to be written to: copy it."""
    folder = tmp_path_factory.mktemp("weighted")
    events(1).write_csv(folder / "log.csv")
    assert run("prepare", folder / "log.csv", *WEIGHTS, "-w", folder / "work") == 0
    return folder


def interactions(workdir):
    return read_artifact(workdir, "prepare/interactions.parquet")


def failing(capsys, *arguments):
    capsys.readouterr()
    status = run("prepare", *arguments)
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    return status, error


# --- weights ----------------------------------------------------------------------------------------------------------


def test_weights_are_a_column_of_the_prepared_log(weighted):
    weight = {"view": 0.25, "buy": 2.0}
    expected: dict[tuple[str, str, int], float] = {}
    for user, item, time, event in sorted(events(1).rows(), key=lambda row: (row[0], row[2])):
        if event in weight:
            key = (user, item, time)
            expected[key] = max(weight[event], expected.get(key, 0))
    found = interactions(weighted / "work")
    assert found.columns == ["user_id", "item_id", "timestamp", "split", "weight"]
    assert found.schema["weight"] == pl.Float32
    in_any_order = {row[:3]: row[3] for row in found.drop("split").iter_rows()}
    assert in_any_order == expected
    train = found.filter(split="train")
    assert read_histories(weighted / "work").weight_of_each().tolist() == train["weight"].to_list()


@pytest.mark.parametrize("model", ["swing", "bm25", "itemknn", "ease"])
def test_the_tables_are_those_of_the_weighted_log(weighted, tmp_path, model):
    """Their kernels are compared with slow twins elsewhere; here: they get the weights."""
    shutil.copytree(weighted / "work", tmp_path / "work")
    assert run("train-i2i", "--model", model, "-w", tmp_path / "work", "--top-k", 5) == 0
    found = read_artifact(tmp_path / "work", f"i2i/{model}-real.parquet")
    log = read_histories(weighted / "work")
    ids = read_artifact(weighted / "work", "prepare/items.parquet")["item_id"]

    def rows_of(histories):
        neighbours = train(model, Job(histories, top_k=5), MODELS[model].complete({})).neighbours
        return [
            (ids[item], ids[int(other)], float(score))
            for item in range(len(ids))
            for other, score in zip(neighbours.ids[item], neighbours.scores[item], strict=True)
            if other >= 0
        ]

    assert found.select("item_id", "neighbour_id", "score").rows() == rows_of(log)
    assert rows_of(log) != rows_of(type(log)(log.ptr, log.items, log.n_items))


def test_fused_rows_keep_the_real_ones_weights(weighted, tmp_path):
    """A candidate counts as much as the user's interactions do on average, times its confidence."""
    shutil.copytree(weighted / "work", tmp_path / "work")
    folder = tmp_path / "work"
    train = interactions(folder).filter(split="train")
    users = train["user_id"].unique(maintain_order=True)[:10]
    columns = {"item_id": "i0", "rank": 1, "logprob": -1.0, "label": "Yes", "confidence": 0.5, "keep": True}
    scored = pl.DataFrame({"user_id": users}).with_columns(**{name: pl.lit(value) for name, value in columns.items()})
    scored = scored.with_columns(pl.col("rank").cast(pl.Int32), pl.col("logprob", "confidence").cast(pl.Float32))
    (folder / "filter").mkdir()
    scored.write_parquet(folder / "filter/scored.parquet")
    assert run("fuse", "--no-tune", "--strategy", "append", "--weight", "confidence", "-w", folder) == 0
    fused = read_artifact(folder, "fuse/interactions.parquet")
    assert fused.filter(source="real")["weight"].to_list() == train["weight"].to_list()
    means = train.group_by("user_id").agg(mean=pl.col("weight").cast(pl.Float64).mean() * 0.5)
    synthetic = fused.filter(source="synthetic").join(means, on="user_id")
    assert len(synthetic) == 10
    assert np.allclose(synthetic["weight"], synthetic["mean"], rtol=1e-6)
    assert read_fused(folder)[0].weight_of_each().tolist() == fused["weight"].to_list()


def test_nothing_that_counts_is_left(tmp_path, capsys):
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp,rating\nu,a,1,2\n")
    arguments = (tmp_path / "log.csv", "--min-rating", 4, "-w", tmp_path / "w")
    assert failing(capsys, *arguments) == (1, f"Error: {tmp_path}/log.csv holds no interaction that counts\n")


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bucket_count", [1, 3])
def test_days_are_counted_over_all_files_and_buckets(tmp_path, monkeypatch, bucket_count):
    monkeypatch.setattr("llmi2i_cli.stages.prepare.n_buckets_for", lambda files, bucket_bytes: bucket_count)
    log = events(2).with_columns(pl.col("timestamp") * 86_400)
    log[:200].write_csv(tmp_path / "a.csv")
    log[200:].write_csv(tmp_path / "b.csv")
    files = (tmp_path / "a.csv", tmp_path / "b.csv")
    assert run("prepare", *files, "--days", 10, "--time-unit", "s", "--split", "none", "-w", tmp_path / "w") == 0
    latest = log["timestamp"].max()
    expected = set(log.filter(pl.col("timestamp") > latest - 10 * 86_400).drop("event").iter_rows())
    assert set(interactions(tmp_path / "w").drop("split").iter_rows()) == expected


def test_a_window_without_interactions_tells_where_the_log_ends(tmp_path, capsys):
    (tmp_path / "log.csv").write_text("user_id,item_id,date\nu,a,2026-11-20\n")
    arguments = (tmp_path / "log.csv", "--since", "2027-01-01", "-w", tmp_path / "w")
    status, error = failing(capsys, *arguments)
    assert status == 1
    assert "all lie outside --since, --until or --days; the latest has the time 1795132800000 (2026-11-20 when" in error
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("log.txt", ("--days", 3), "sequences have no times: leave out --since, --until and --days"),
        ("log.csv", ("--days", 3, "--since", "2026-01-01"), "--since and --days both say where the log begins"),
        ("log.csv", ("--since", "soon"), "--since is a date (2026-01-31, 2026-01-31T12:00) or a whole number"),
        ("log.csv", ("--split-column", "s", "--split", "none"), "--split-column stands in the place of --split none"),
        ("log.csv", ("--test", "log.csv"), "a file of INPUT, --valid or --test is given twice"),
        ("log.csv", ("--test", "log.txt", "--split", "last-day"), "--valid and --test stand in the place of --split"),
    ],
)
def test_options_that_contradict_each_other(tmp_path, capsys, monkeypatch, name, options, message):
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\nu,a,1\n")
    (tmp_path / "log.txt").write_text("u a b\n")
    monkeypatch.chdir(tmp_path)
    status, error = failing(capsys, name, *options, "-w", "w")
    assert (status, message in error) == (2, True), error
    assert not (tmp_path / "w").exists()


# --- splits of one's own ----------------------------------------------------------------------------------------------


def test_a_column_tells_the_split(tmp_path, capsys):
    rows = ["u,a,1,test", "u,b,2,train", "v,a,3,train", "v,a,3,test", "u,c,4,valid"]
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp,part\n" + "\n".join(rows) + "\n")
    options = ("--split-column", "part")
    assert run("prepare", tmp_path / "log.csv", *options, "-w", tmp_path / "w") == 0
    expected = [("u", "a", 1, "test"), ("u", "b", 2, "train"), ("u", "c", 4, "valid"), ("v", "a", 3, "test")]
    assert interactions(tmp_path / "w").rows() == expected
    assert read_artifact(tmp_path / "w", "prepare/items.parquet")["item_id"].to_list() == ["b"]
    assert run("prepare", tmp_path / "log.csv", *options, "--to-split", "valid", "-w", tmp_path / "w") == 0
    assert [row[3] for row in interactions(tmp_path / "w").iter_rows()] == ["test", "train", "train", "test"]
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp,part\nu,a,1,train\nu,a,2,validation\n")
    status, error = failing(capsys, tmp_path / "log.csv", *options, "-w", tmp_path / "x")
    assert (status, "line 3: 'part' is 'validation': it says train, valid or test" in error) == (1, True)


@pytest.mark.parametrize("suffix", ["csv", "txt"])
def test_files_tell_the_split(tmp_path, suffix):
    parts = {"train": "u a b\nv a\n", "valid": "u c\n", "test": "u d\nv b b\n"}
    for name, text in parts.items():
        pairs = [(user, item) for line in text.splitlines() for user, *items in [line.split()] for item in items]
        csv = "user,item,ts\n" + "".join(f"{user},{item},{ts}\n" for ts, (user, item) in enumerate(pairs))
        (tmp_path / f"{name}.{suffix}").write_text(csv if suffix == "csv" else text)
    files = [tmp_path / f"{name}.{suffix}" for name in parts]
    assert run("prepare", files[0], "--valid", files[1], "--test", files[2], "-w", tmp_path / "w") == 0
    found: dict[str, list[tuple[str, str]]] = {split: [] for split in parts}
    for user, item, _, split in interactions(tmp_path / "w").iter_rows():
        found[split].append((user, item))
    assert {split: sorted(pairs) for split, pairs in found.items()} == {
        "train": [("u", "a"), ("u", "b"), ("v", "a")],
        "valid": [("u", "c")],
        "test": [("u", "d"), ("v", "b"), ("v", "b")],
    }


def test_events_that_count_are_held_out_alone(tmp_path):
    events(3).write_csv(tmp_path / "log.csv")
    options = ("--event-column", "event", "--target-event", "buy")
    assert run("prepare", tmp_path / "log.csv", *options, "-w", tmp_path / "w") == 0
    found = interactions(tmp_path / "w")
    assert found.columns == ["user_id", "item_id", "timestamp", "split"]
    buys = set(events(3).filter(event="buy").drop("event").iter_rows())
    held_out = found.filter(pl.col("split") != "train")
    assert set(held_out.drop("split").iter_rows()) <= buys
    assert held_out.group_by("user_id", "split").len()["len"].max() == 1
    assert len(held_out) > 30
    order = found.with_columns(place=pl.int_range(pl.len()).over("user_id"))
    train_ends = order.filter(split="train").group_by("user_id").agg(pl.col("place").max())
    starts = order.filter(pl.col("split") != "train").group_by("user_id").agg(first=pl.col("place").min())
    assert starts.join(train_ends, on="user_id").filter(pl.col("first") < pl.col("place")).is_empty()


def test_events_that_nobody_has_cannot_be_held_out(tmp_path, capsys):
    events(3).write_csv(tmp_path / "log.csv")
    options = ("--event-column", "event", "--target-event", "purchase")
    assert run("prepare", tmp_path / "log.csv", *options, "-w", tmp_path / "w") == 1
    assert "no interaction with the event 'purchase' comes after others of its user" in capsys.readouterr().err
    assert not (tmp_path / "w" / "prepare").exists()
    for nothing_held_out in (("--split", "none"), ("--to-split", "test")):
        assert run("prepare", tmp_path / "log.csv", *options, *nothing_held_out, "-w", tmp_path / "w") == 0


# --- refit ------------------------------------------------------------------------------------------------------------


def test_refit_reads_the_log_with_the_same_options(tmp_path, capsys):
    log = events(4).with_columns(pl.col("timestamp") * 86_400)
    log.write_csv(tmp_path / "log.csv")
    log[:50].write_csv(tmp_path / "test.csv")
    window = ("--days", 30, "--time-unit", "s", "--test", tmp_path / "test.csv")
    assert run("prepare", tmp_path / "log.csv", *WEIGHTS, *window, "-w", tmp_path / "work") == 0
    assert run("train-i2i", "--model", "bm25", "-w", tmp_path / "work") == 0
    assert run("refit", "-w", tmp_path / "work", "--to", tmp_path / "serve") == 0
    work, serve = interactions(tmp_path / "work"), interactions(tmp_path / "serve")
    assert serve.drop("split").equals(work.drop("split"))
    assert set(work["split"]) == {"train", "test"}
    assert set(serve["split"]) == {"train"}
    manifests = [read_manifest(tmp_path / folder / "prepare/manifest.json") for folder in ("work", "serve")]
    asked, again = [manifest["options"] for manifest in manifests if manifest]
    assert again == {**asked, "to_split": "test"}
    (tmp_path / "test.csv").write_text("user_id,item_id,timestamp,event\nu1,i1,5,buy\n")
    capsys.readouterr()
    assert run("refit", "-w", tmp_path / "work", "--to", tmp_path / "serve") == 1
    assert "test.csv changed" in capsys.readouterr().err
