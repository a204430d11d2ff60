from __future__ import annotations

import shutil
from typing import Any

import polars as pl
import pytest

from llmi2i_cli.artifacts.prepared import read_catalogue
from llmi2i_cli.choices.models import TableName
from llmi2i_cli.errors import ArtifactError, InputError
from llmi2i_cli.i2i.blend import scale_of
from llmi2i_cli.i2i.neighbour_table import read_neighbours
from llmi2i_cli.i2i.origins import bought_together, compare_neighbours
from tests.conftest import as_own
from tests.stages.shop import prepare_shop, run, write_fused

ITEM, WEIGHTS = "i12", (1.0, 0.6)
PLACES = {"real": "before", "fused": "after"}


@pytest.fixture(scope="module")
def blended(tmp_path_factory):
    """A work directory with a blend of BM25 and text on both logs. Not to be written to."""
    workdir = prepare_shop(tmp_path_factory.mktemp("blended"))
    write_fused(workdir)
    assert run("train-i2i", "--model", "text", "-w", workdir) == 0
    for data in ("real", "fused"):
        for model in ("swing", "bm25"):
            assert run("train-i2i", "--model", model, "--data", data, "-w", workdir) == 0
        weights = ",".join(map(str, WEIGHTS))
        assert run("train-i2i", "--model", "blend", "--weights", weights, "--data", data, "-w", workdir) == 0
    return workdir


def both(model):
    return {"before": TableName(model, "real"), "after": TableName(model, "fused")}


def plain_pairs(workdir, data):
    """Neighbour -> users who have both from recorded rows, weight of recorded and of generated pairs; by loops."""
    path = "prepare/interactions.parquet" if data == "real" else "fuse/interactions.parquet"
    log = pl.read_parquet(workdir / path)
    if data == "real":
        log = log.filter(split="train").with_columns(weight=pl.lit(1.0), source=pl.lit("real"))
    found: dict[str, list[float]] = {}
    for _, rows in log.group_by("user_id"):
        first: dict[str, dict[str, Any]] = {}
        for row in rows.iter_rows(named=True):
            first.setdefault(row["item_id"], row)
        for other, row in first.items():
            if ITEM in first and other != ITEM:
                ours = first[ITEM]
                pair, weight = found.setdefault(other, [0, 0, 0]), ours["weight"] * row["weight"]
                sources = {ours["source"], row["source"]}
                pair[0] += sources == {"real"}
                pair[1 + ("synthetic" in sources)] += weight
    return found


@pytest.mark.parametrize("data", ["real", "fused"])
def test_who_has_both_items_equals_loops_over_users(blended, data):
    found = bought_together(blended, data, [ITEM, "i3"]).filter(item_id=ITEM)
    rows = {row[0]: list(row[1:]) for row in found.drop("item_id").iter_rows()}
    expected = plain_pairs(blended, data)
    assert rows.keys() == expected.keys()
    for other, pair in expected.items():
        assert rows[other] == pytest.approx(pair)
    assert (sum(pair[2] for pair in expected.values()) > 0) is (data == "fused")


def test_the_weights_of_a_log_that_has_some_count(blended, tmp_path):
    workdir = tmp_path / "work"
    shutil.copytree(blended / "prepare", workdir / "prepare")
    log = pl.read_parquet(workdir / "prepare/interactions.parquet")
    log.with_columns(weight=pl.lit(0.5, pl.Float32)).write_parquet(workdir / "prepare/interactions.parquet")
    keys = ["item_id", "neighbour_id"]
    plain, weighted = (bought_together(each, "real", [ITEM]).sort(keys) for each in (blended, workdir))
    assert weighted["users"].to_list() == plain["users"].to_list()
    assert weighted["recorded"].to_list() == (plain["recorded"] / 4).to_list()


@pytest.mark.parametrize("data", ["real", "fused"])
def test_shares_of_a_blend_are_those_of_its_sum(blended, data):
    ids = read_catalogue(blended).ids
    row = ids.to_list().index(ITEM)
    pairs = plain_pairs(blended, data)
    parts = [read_neighbours(blended, "bm25", data, ids), read_neighbours(blended, "text", "real", ids)]
    [compared] = compare_neighbours(blended, [ITEM], **both("blend"), top_n=30)
    assert (compared["item_id"], compared["title"]) == (ITEM, "Title 12")
    other_rank = {other["item_id"]: place for place, other in enumerate(compared["before"], 1)}
    assert [found["item_id"] for found in compared[PLACES[data]]]
    for found in compared[PLACES[data]]:
        by_part = []
        for part, weight in zip(parts, WEIGHTS, strict=True):
            scores = {ids[int(i)]: s for i, s in zip(part.ids[row], part.scores[row], strict=True) if i >= 0}
            by_part.append(weight * scores.get(found["item_id"], 0) / scale_of(part))
        assert sum(by_part) == pytest.approx(found["score"], rel=1e-5)
        users, recorded, generated = pairs.get(found["item_id"], (0, 0, 0))
        made = generated / (generated + recorded) if generated + recorded else 0
        expected = {"counts": by_part[0] * (1 - made), "text": by_part[1], "llm": by_part[0] * made}
        assert found["shares"] == pytest.approx(
            {name: part / sum(by_part) for name, part in expected.items()}, abs=1e-5
        )
        assert (found["users"], found["generated"]) == (users, pytest.approx(generated))
        if data == "fused" and len(compared["before"]) < 30:  # the whole list
            assert found["rank_in_other"] == other_rank.get(found["item_id"])


def test_a_plain_model_owes_its_scores_to_users_and_to_the_llm_alone(blended):
    [compared] = compare_neighbours(blended, [ITEM], **both("swing"), top_n=5)
    for data in ("real", "fused"):
        table = pl.read_parquet(blended / f"i2i/swing-{data}.parquet").filter(pl.col("rank") <= 5, item_id=ITEM)
        assert [each["item_id"] for each in compared[PLACES[data]]] == table.sort("rank")["neighbour_id"].to_list()
        assert [each["score"] for each in compared[PLACES[data]]] == table.sort("rank")["score"].to_list()
    assert all(each["shares"] == {"counts": 1, "llm": 0} for each in compared["before"])
    made = {each["item_id"]: each["shares"]["llm"] for each in compared["after"]}
    pairs = plain_pairs(blended, "fused")
    assert made == pytest.approx({item: pairs[item][2] / (pairs[item][1] + pairs[item][2]) for item in made})
    assert max(made.values()) > 0


def test_what_cannot_be_compared_is_said(blended, tmp_path):
    with pytest.raises(InputError, match="item 'gone' is not in the catalogue"):
        compare_neighbours(blended, ["gone"], **both("blend"), top_n=5)
    workdir = shutil.copytree(blended, tmp_path / "work")
    assert run("train-i2i", "--model", "bm25", "--k1", "0.2", "-w", workdir) == 0
    with pytest.raises(ArtifactError, match=r"blend-real.parquet was made from other files \(i2i/bm25-real.parquet"):
        compare_neighbours(workdir, [ITEM], **both("blend"), top_n=5)
    as_own(workdir, "i2i/swing-real.parquet")
    with pytest.raises(ArtifactError, match=r"swing-real\.manifest\.json is missing or damaged"):
        compare_neighbours(workdir, [ITEM], **both("swing"), top_n=5)
