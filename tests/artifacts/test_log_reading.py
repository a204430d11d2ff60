"""Logs read in parts, against a twin of dictionaries and lists."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.prepared import read_fused, read_histories, read_targets, read_times
from llmi2i_cli.artifacts.schemas import FUSED, INTERACTIONS, ITEMS, USERS
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.tables import write_table
from tests.artifacts.plain_log import plain_histories

USER_IDS = pl.Series("user_id", [f"u{user:02}" for user in range(60)])
ITEM_IDS = pl.Series("item_id", [f"i{item}" for item in range(30)])
SPLITS = ("train", "valid", "test")


@pytest.fixture
def log():
    """Users without interactions among them; held-out items that the catalogue does not have, some of them twice."""
    rng = np.random.default_rng(4)
    lengths = rng.integers(0, 9, len(USER_IDS))
    n = lengths.sum()
    splits = rng.choice(SPLITS, n)
    known = ITEM_IDS.gather(rng.integers(0, len(ITEM_IDS), n))
    unknown = pl.Series([f"new{item}" for item in rng.integers(0, 9, n)])
    is_new = pl.Series((splits != "train") & (rng.random(n) < 0.2))
    return pl.DataFrame(
        {
            "user_id": USER_IDS.gather(np.repeat(np.arange(len(USER_IDS)), lengths)),
            "item_id": pl.select(pl.when(is_new).then(unknown).otherwise(known)).to_series(),
            "timestamp": rng.integers(0, 10**12, n),
            "split": splits,
        },
        schema=INTERACTIONS,
    )


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / "prepare").mkdir()
    (tmp_path / "fuse").mkdir()
    for name, ids, schema in (("items", ITEM_IDS, ITEMS), ("users", USER_IDS, USERS)):
        empty = [pl.lit(None, dtype).alias(column) for column, dtype in schema.items() if column != ids.name]
        write_table(ids.to_frame().with_columns(empty), tmp_path / f"prepare/{name}.parquet", schema)
    return tmp_path


@pytest.fixture(params=[1, 7, 1000], autouse=True)
def rows_at_once(request, monkeypatch):
    monkeypatch.setattr("llmi2i_cli.artifacts.log_reading.ROWS_AT_ONCE", request.param)


def users_in_another_order(log):
    """Whole users stay together, in an order that is not that of prepare's users."""
    keys = dict(zip(USER_IDS, np.random.default_rng(1).permutation(len(USER_IDS)).tolist(), strict=True))
    return log.sort(pl.col("user_id").replace_strict(keys), maintain_order=True)


def rows_in_any_order(log):
    return log.sample(fraction=1, shuffle=True, seed=3)


def assert_same(found, expected):
    assert found.ptr.tolist() == expected.ptr.tolist()
    assert found.items.tolist() == expected.items.tolist()
    assert found.n_items == expected.n_items
    assert (found.ptr.dtype, found.items.dtype) == (np.int64, np.int32)
    if expected.weights is None:
        assert found.weights is None
    else:
        assert found.weights.tolist() == expected.weights.tolist()
        assert found.weights.dtype == np.float32


@pytest.mark.parametrize("order", [lambda log: log, users_in_another_order, rows_in_any_order])
@pytest.mark.parametrize("splits", [("train",), ("train", "valid"), ("valid",), ("train", "valid", "test")])
def test_histories_equal_their_plain_twin(workdir, log, order, splits):
    write_table(order(log), workdir / "prepare/interactions.parquet")
    asked = order(log).filter(pl.col("split").is_in(splits) & pl.col("item_id").is_in(ITEM_IDS.implode()))
    assert_same(read_histories(workdir, splits), plain_histories(asked, USER_IDS, ITEM_IDS))


@pytest.mark.parametrize("order", [lambda log: log, rows_in_any_order])
def test_targets_have_an_index_for_each_unknown_item(workdir, log, order):
    write_table(order(log), workdir / "prepare/interactions.parquet")
    held_out = order(log).filter(split="test")
    unknown = [name for name in dict.fromkeys(held_out["item_id"]) if name.startswith("new")]
    assert len(unknown) > 1
    assert_same(read_targets(workdir, "test"), plain_histories(held_out, USER_IDS, [*ITEM_IDS, *unknown]))


def test_times_are_those_of_train(workdir, log):
    write_table(log, workdir / "prepare/interactions.parquet")
    assert read_times(workdir).tolist() == log.filter(split="train")["timestamp"].to_list()


def test_the_fused_log_equals_its_plain_twin(workdir, log):
    rng = np.random.default_rng(2)
    real = log.filter(split="train")
    pseudo = real.filter(pl.Series(rng.random(len(real)) < 0.3)).with_columns(pl.col("user_id") + "#llm")
    rows = pl.concat([real, pseudo]).with_columns(
        source=pl.lit("real"), weight=rng.random(len(real) + len(pseudo)), origin_user_id=pl.lit("")
    )
    write_table(rows, workdir / "fuse/interactions.parquet", FUSED)
    histories, user_ids = read_fused(workdir)
    assert user_ids.to_list() == list(dict.fromkeys(rows["user_id"]))
    as_written = rows.cast({"weight": pl.Float32})
    assert_same(histories, plain_histories(as_written, user_ids, ITEM_IDS))


@pytest.mark.parametrize(("column", "value"), [("user_id", "nobody"), ("item_id", "nothing")])
def test_an_id_of_another_log_is_named(workdir, log, column, value):
    row = log.with_row_index().filter(split="train")["index"][-1]
    changed = log.with_row_index().with_columns(
        pl.when(pl.col("index") == row).then(pl.lit(value)).otherwise(column).alias(column)
    )
    write_table(changed.drop("index"), workdir / "prepare/interactions.parquet")
    with pytest.raises(ArtifactError, match=f"^prepare/interactions.parquet: {column} '{value}' is not in prepare/"):
        read_histories(workdir)


def test_an_empty_log_has_users_without_interactions(workdir, log):
    write_table(log.clear(), workdir / "prepare/interactions.parquet")
    assert read_histories(workdir).lengths.tolist() == [0] * len(USER_IDS)
    assert read_times(workdir).tolist() == []
