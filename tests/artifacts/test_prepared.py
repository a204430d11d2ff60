"""Checked reads and writes of the tables between the stages, and the log as arrays."""

from __future__ import annotations

import math
import re
from functools import partial

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.__main__ import main
from llmi2i_cli.artifacts.indices import with_index
from llmi2i_cli.artifacts.prepared import (
    has_split,
    read_catalogue,
    read_fused,
    read_histories,
    read_item_ids,
    read_profiles,
    read_targets,
    read_times,
    read_user_ids,
)
from llmi2i_cli.artifacts.schemas import (
    CANDIDATES,
    FUSED,
    INTERACTIONS,
    ITEMS,
    SCORED,
    USERS,
    read_artifact,
    scan_artifact,
)
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.evaluation.metrics import per_user_metrics
from llmi2i_cli.files.tables import sink_blocks, write_table

LOG = [
    ("b", "y", 1, "train"),
    ("b", "x", 2, "train"),
    ("b", "y", 2, "valid"),
    ("a", "x", 0, "train"),
    ("a", "z", 5, "test"),
]


@pytest.fixture
def workdir(tmp_path):
    """A tiny prepared log in a folder whose name would be a pattern to a shell, and to Polars."""
    folder = tmp_path / "w[1]*"
    for name in ("prepare", "fuse", "synthesize"):
        (folder / name).mkdir(parents=True)
    write_table(pl.DataFrame(LOG, INTERACTIONS, orient="row"), folder / "prepare/interactions.parquet")
    items = [("x", "X", "X!", 2, False, False), ("y", "", "", 1, True, False), ("z", "Z", "", 0, True, True)]
    write_table(pl.DataFrame(items, ITEMS, orient="row"), folder / "prepare/items.parquet")
    users = [("b", 2, "old"), ("a", 1, None), ("c", 0, "")]
    write_table(pl.DataFrame(users, USERS, orient="row"), folder / "prepare/users.parquet")
    return folder


def test_histories_follow_the_users_and_the_order_of_rows(workdir):
    train = read_histories(workdir)
    assert [train.row(user).tolist() for user in range(3)] == [[1, 0], [0], []]
    both = read_histories(workdir, ("train", "valid"))
    assert [both.row(user).tolist() for user in range(3)] == [[1, 0, 1], [0], []]
    assert (train.n_items, train.items.dtype, train.ptr.dtype, train.weights) == (3, np.int32, np.int64, None)
    assert read_user_ids(workdir).to_list() == ["b", "a", "c"]
    assert read_profiles(workdir) == ["old", "", ""]
    assert [has_split(workdir, split) for split in ("train", "valid", "test", "other")] == [True, True, True, False]


def test_the_catalogue_keeps_the_files_order(workdir):
    catalogue = read_catalogue(workdir)
    assert catalogue.ids.to_list() == ["x", "y", "z"]
    assert catalogue.titles.to_list() == ["X", "", "Z"]
    assert catalogue.texts.to_list() == ["X!", "", ""]
    assert catalogue.train_counts.tolist() == [2, 1, 0]
    assert catalogue.is_long_tail.tolist() == [False, True, True]
    assert catalogue.is_train_tail.tolist() == [False, False, True]
    assert catalogue.n_items == 3


def test_the_fused_log_has_weights_and_users_of_its_own(workdir):
    rows = [
        ("b", "y", 1, "real", 1.0, "b"),
        ("a", "x", 0, "real", 1.0, "a"),
        ("b#llm", "y", 1, "copied", 1.0, "b"),
        ("b#llm", "z", 3, "synthetic", 0.25, "b"),
    ]
    write_table(pl.DataFrame(rows, FUSED, orient="row"), workdir / "fuse/interactions.parquet")
    histories, user_ids = read_fused(workdir)
    assert user_ids.to_list() == ["b", "a", "b#llm"]
    assert [histories.row(user).tolist() for user in range(3)] == [[1], [0], [1, 2]]
    assert histories.weights is not None
    assert histories.weights.tolist() == [1.0, 1.0, 1.0, 0.25]


def test_an_id_that_nobody_knows_is_named():
    frame = pl.DataFrame({"item_id": ["x", "q", "r"]})
    with pytest.raises(ArtifactError, match=r"^some/file: item_id 'q' is not in prepare/: it belongs to another log$"):
        with_index(frame, pl.Series(["x"]), "item_id", "some/file")


# --- damaged and foreign files --------------------------------------------------------------------------------------


def damaged(kind, good):
    """Contents of a broken Parquet file."""
    if kind == "in the middle":
        middle = len(good) // 3
        return good[:middle] + bytes(200) + good[middle + 200 :]
    return {"empty": b"", "truncated": good[: len(good) // 2], "binary": b"\x89PNG\r\n" * 500, "text": b"a,b\n1,2\n"}[
        kind
    ]


@pytest.mark.parametrize("kind", ["empty", "truncated", "binary", "text", "in the middle"])
def test_a_damaged_artifact_names_the_command_that_mends_it(workdir, kind):
    path = workdir / "prepare/interactions.parquet"
    rng = np.random.default_rng(0)
    ids = pl.Series(rng.integers(0, 10**9, 5000)).cast(pl.String)
    log = pl.DataFrame({"user_id": ids, "item_id": ids, "timestamp": 0, "split": "train"}, schema=INTERACTIONS)
    write_table(log, path)
    path.write_bytes(damaged(kind, path.read_bytes()))
    remedy = f"run `llmi2i prepare INPUT... -w {workdir} --force`"
    for read in (
        lambda: read_artifact(workdir, "prepare/interactions.parquet"),
        lambda: read_histories(workdir),
    ):
        with pytest.raises(ArtifactError) as told:
            read()
        assert str(path) in str(told.value)
        assert str(told.value).endswith(remedy)
        assert "\n" not in str(told.value)


def test_other_columns_and_other_types_are_told(workdir):
    path = workdir / "synthesize/candidates.parquet"
    pl.DataFrame({"user_id": ["a"], "item": ["x"]}).write_parquet(path)
    remedy = f"run `llmi2i synthesize -w {workdir} --force`"
    with pytest.raises(ArtifactError) as told:
        scan_artifact(workdir, "synthesize/candidates.parquet")
    assert str(told.value) == f"{path} has no column 'item_id' (it has user_id, item): {remedy}"
    pl.DataFrame({"user_id": [1], "item_id": ["x"], "rank": [1], "logprob": [0.0]}).write_parquet(path)
    with pytest.raises(ArtifactError) as told:
        scan_artifact(workdir, "synthesize/candidates.parquet")
    assert str(told.value) == f"{path}: column 'user_id' is Int64, not String: {remedy}"


SCORED_ROWS = [("a", "x", 1, -0.5, "Yes", 0.75, True), ("a", "y", 2, -0.75, "No", 0.25, False)]


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("user_id", None, "column 'user_id' holds nothing, where a value has to be there"),
        ("item_id", None, "column 'item_id' holds nothing, where a value has to be there"),
        ("item_id", "x", "two rows have user_id 'a', item_id 'x'"),
        ("rank", 0, "column 'rank' holds 0, where a value has to be 1 or more"),
        ("rank", -7, "column 'rank' holds -7, where a value has to be 1 or more"),
        ("rank", None, "column 'rank' holds nothing, where a value has to be 1 or more"),
        ("logprob", math.nan, "column 'logprob' holds nan, where a value has to be finite"),
        ("logprob", -math.inf, "column 'logprob' holds -inf, where a value has to be finite"),
        ("label", "yes", "column 'label' holds 'yes', where a value has to be one of Yes, No"),
        ("confidence", 5, "column 'confidence' holds 5.0, where a value has to be from 0 to 1"),
        ("confidence", -0.5, "column 'confidence' holds -0.5, where a value has to be from 0 to 1"),
        ("confidence", math.nan, "column 'confidence' holds nan, where a value has to be from 0 to 1"),
        ("keep", None, "column 'keep' holds nothing, where a value has to be there"),
    ],
)
def test_values_that_may_not_be_are_told(workdir, column, value, says):
    path = workdir / "filter/scored.parquet"
    path.parent.mkdir()
    frame = pl.DataFrame(SCORED_ROWS, SCORED, orient="row")
    write_table(frame, path)
    assert read_artifact(workdir, "filter/scored.parquet").equals(frame)
    wrong = pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(value, SCORED[column])).otherwise(pl.col(column))
    write_table(frame.with_columns(wrong.alias(column)), path)
    with pytest.raises(ArtifactError) as told:
        read_artifact(workdir, "filter/scored.parquet")
    assert str(told.value) == f"{path}: {says}: run `llmi2i filter -w {workdir} --force`"


@pytest.mark.parametrize(
    ("path", "change", "read", "says"),
    [
        ("interactions", pl.lit(None, pl.String).alias("split"), read_histories, "column 'split' holds nothing"),
        ("interactions", pl.lit("dev").alias("split"), read_histories, "one of train, valid, test"),
        ("interactions", pl.lit(None, pl.Int64).alias("timestamp"), read_times, "column 'timestamp' holds nothing"),
        ("items", pl.lit("x").alias("item_id"), read_item_ids, "two rows have item_id 'x'"),
        ("items", pl.lit(-1, pl.Int64).alias("train_count"), read_catalogue, "column 'train_count' holds -1"),
        ("users", pl.lit("b").alias("user_id"), read_user_ids, "two rows have user_id 'b'"),
        ("users", pl.lit("b").alias("user_id"), read_histories, "two rows have user_id 'b'"),
    ],
)
def test_values_are_checked_however_a_table_is_read(workdir, path, change, read, says):
    file = workdir / f"prepare/{path}.parquet"
    write_table(pl.read_parquet(file, glob=False).with_columns(change), file)
    with pytest.raises(ArtifactError, match=re.escape(says)) as told:
        read(workdir)
    assert str(told.value).startswith(f"{file}: ")


def test_keys_are_compared_when_their_hashes_are_equal(workdir, monkeypatch):
    monkeypatch.setattr(pl.Expr, "hash", lambda column, seed: pl.lit(1, pl.UInt64))
    assert read_user_ids(workdir).to_list() == ["b", "a", "c"]


def test_further_columns_are_left_out(workdir):
    path = workdir / "synthesize/candidates.parquet"
    frame = pl.DataFrame([("a", "x", 1, -0.5)], CANDIDATES, orient="row")
    frame.select(pl.lit(1).alias("mine"), pl.all()).write_parquet(path)
    assert read_artifact(workdir, "synthesize/candidates.parquet").equals(frame)


def test_a_missing_artifact_names_the_command_that_makes_it(workdir):
    with pytest.raises(ArtifactError, match=r"run `llmi2i synthesize -w .*` first"):
        read_artifact(workdir, "synthesize/candidates.parquet")


def test_a_directory_in_a_files_place(workdir):
    (workdir / "synthesize/candidates.parquet").mkdir()
    with pytest.raises(ArtifactError, match="is not a readable Parquet file"):
        read_artifact(workdir, "synthesize/candidates.parquet")


# --- writing --------------------------------------------------------------------------------------------------------


def test_tables_are_written_in_the_schemas_order_and_types_and_whole(tmp_path):
    frame = pl.DataFrame({"rank": [1], "logprob": [-0.5], "item_id": ["x"], "user_id": ["a"], "other": [0]})
    write_table(frame, tmp_path / "x.parquet", CANDIDATES)
    assert pl.read_parquet(tmp_path / "x.parquet").schema == pl.Schema(CANDIDATES)
    with pytest.raises(pl.exceptions.PolarsError):
        write_table(frame.drop("rank"), tmp_path / "x.parquet", CANDIDATES)
    assert len(pl.read_parquet(tmp_path / "x.parquet")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_a_streamed_table_has_the_same_bytes_in_whatever_blocks_it_comes(tmp_path):
    n = 300_000
    frame = pl.DataFrame({"a": np.random.default_rng(0).integers(0, 100, n)})
    written = set()
    for step in (n, n // 2, 30_011):
        blocks = [frame[first : first + step] for first in range(0, n, step)]
        sink_blocks(partial(iter, blocks), tmp_path / "x", frame.schema)
        written.add((tmp_path / "x").read_bytes())
    assert len(written) == 1


def test_held_out_items_outside_the_catalogue_are_no_history_but_targets(tmp_path):
    (tmp_path / "log.txt").write_text("u1 a b c\nu2 a b b x\nu3 b a y a\n")
    assert main(["prepare", str(tmp_path / "log.txt"), "-w", str(tmp_path)]) == 0
    assert read_item_ids(tmp_path).to_list() == ["a", "b"]
    queries, targets = read_histories(tmp_path, ("train", "valid")), read_targets(tmp_path, "test")
    assert [queries.row(user).tolist() for user in range(3)] == [[0, 1], [0, 1, 1], [1, 0]]
    assert [targets.row(user).tolist() for user in range(3)] == [[2], [3], [0]]  # each unknown item is one of its own
    assert targets.n_items == 4
    metrics = per_user_metrics(np.array([0, 0, 1], np.int32), targets, ks=(10,))
    assert metrics.means()["recall@10"] == pytest.approx(1 / 3)
    assert per_user_metrics(
        np.array([0, 0, 1], np.int32), targets, ks=(10,), relevant=np.array([True, True])
    ).users.tolist() == [2]
