"""What stands behind the figures of examples/paper: the injected noise, its AUC, the shares of tail items."""

from __future__ import annotations

import importlib.util
import json
import random
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.schemas import CANDIDATES, ITEMS
from llmi2i_cli.files.tables import write_table
from tests.conftest import run

FOLDER = Path(__file__).parents[1] / "examples/paper"


def script(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    sys.path.insert(0, str(FOLDER))  # a script finds those beside it
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


measured, noise, alpha, by_popularity, steps = map(script, ("measured", "noise", "alpha", "by_popularity", "table"))


def test_noise_goes_among_the_train_items_and_can_be_told():
    rng = random.Random(1)
    lines = [[f"u{u}", *(f"i{rng.randrange(30)}" for _ in range(rng.choice((1, 2, 3, 6, 12))))] for u in range(200)]
    n_train = sum(max(0, len(line) - 3) for line in lines)
    noisy, pairs = noise.inject(lines, 0.2, seed=3)
    assert len(pairs) == len(set(pairs)) == round(0.2 * n_train)
    assert sum(map(len, noisy)) == sum(map(len, lines)) + len(pairs)
    places = set()
    for before, after in zip(lines, noisy, strict=True):
        user = before[0]
        injected = {item for name, item in pairs if name == user}
        assert not injected & set(before[1:])
        assert [field for field in after if field not in injected] == before
        assert after[-2:] == before[-2:]  # what is held out stays; users without train items get nothing
        if len(injected) == 1:
            [item] = injected
            places.add((after.index(item) - 1, len(before) - 1))
    assert {(0, 6), (4, 6)} <= places  # in front of the first train item, and behind the last
    assert noise.inject(lines, 0.2, seed=3) == (noisy, pairs)
    assert noise.inject(lines, 0.2, seed=4) != (noisy, pairs)


def test_auc_equals_counting_pairs():
    rng = random.Random(2)
    for _ in range(20):
        labels = np.array([True, False, *(rng.random() < 0.4 for _ in range(15))])
        scores = np.array([rng.randrange(6) for _ in labels], float)
        pairs = [(a, b) for a in scores[labels] for b in scores[~labels]]
        expected = sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)
        assert noise.auc(scores, labels) == pytest.approx(expected)


def test_tail_shares_are_of_candidates_and_not_of_items(tmp_path):
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c"],
            "title": "",
            "text": "",
            "train_count": 1,
            "is_long_tail": [True, True, False],
            "is_train_tail": [True, False, False],
        }
    )
    candidates = pl.DataFrame(
        {"user_id": ["u", "u", "u", "v"], "item_id": ["a", "b", "c", "c"], "rank": 1, "logprob": 0.0}
    )
    for folder, name, table, schema in (
        ("prepare", "items", items, ITEMS),
        ("synthesize", "candidates", candidates, CANDIDATES),
    ):
        (tmp_path / folder).mkdir()
        write_table(table, tmp_path / folder / f"{name}.parquet", schema)
    assert alpha.tail_shares(tmp_path) == (0.25, 0.5)


def test_the_signs_of_noise(pipeline, tmp_path):
    """What noise.sh prints, on the small shop: injected rows are found again, an item does not count for itself."""
    log = pl.read_parquet(pipeline / "prepare/interactions.parquet")
    lines = [[user, *rows["item_id"]] for (user,), rows in log.group_by("user_id", maintain_order=True)]
    (tmp_path / "sequences.txt").write_text("".join(" ".join(line) + "\n" for line in lines))
    work = tmp_path / "work"
    noise.main(["inject", str(tmp_path / "sequences.txt"), str(work / "noise"), "--share", "0.1"])
    assert run("prepare", work / "noise/sequences.txt", "-w", work) == 0
    train = pl.read_parquet(work / "prepare/interactions.parquet").filter(split="train")
    (work / "filter").mkdir()
    confidence = np.arange(len(train)) / len(train)
    judged = train.drop("split").with_columns(label=pl.lit("Yes"), confidence=pl.Series(confidence), keep=True)
    write_table(judged.cast({"confidence": pl.Float32}), work / "filter/scored-real.parquet")
    injected = noise.is_injected(work)
    n_before = log.filter(split="train").height
    assert injected.sum() == len(train) - n_before == round(0.1 * n_before)
    signs = noise.signs_of_noise(work)
    assert list(signs) == ["discriminator", "popularity", "bm25", "text"]
    assert np.allclose(signs["discriminator"], 1 - confidence)
    counts = train.select(pl.len().over("item_id"))["len"].to_numpy()
    own = train.select(pl.len().over("user_id", "item_id"))["len"].to_numpy()
    assert np.allclose(signs["popularity"], -np.log1p(counts - own))


def test_models_stand_side_by_side_by_how_often_train_has_the_target(pipeline, tmp_path):
    """A column each for what was evaluated, the baselines too, in the order of the table of models."""
    work = tmp_path / "work"
    shutil.copytree(pipeline / "prepare", work / "prepare")
    shutil.copytree(pipeline / "fuse", work / "fuse")
    for model, data in (("swing", "real"), ("swing", "fused"), ("text", "real")):
        assert run("train-i2i", "--model", model, "--data", data, "-w", work) == 0
    assert run("evaluate", "--model", "text", "-w", work) == 0
    assert run("evaluate", "--model", "swing", "--data", "fused", "--baseline", "real", "-w", work) == 0
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in by_popularity.by_popularity(work).splitlines()
    ]
    assert lines[0] == ["times in train", "targets", "swing", "swing, fused", "text"]
    swing, text = (json.loads((work / f"evaluate/{n}-test.json").read_text()) for n in ("swing-fused", "text-real"))
    told = [swing["baseline"]["by_train_count"], swing["by_train_count"], text["by_train_count"]]
    assert [line[0] for line in lines[2:]] == list(told[0]["targets"])
    seen = 0
    for group, n_targets, *cells in lines[2:]:
        assert n_targets == f"{told[0]['targets'][group]:,}"
        recalls = [each["metrics"][group]["recall@10"] for each in told]
        assert [cell[:6] for cell in cells] == ["" if recall is None else f"{recall:.4f}" for recall in recalls]
        seen += recalls[0] is not None
    assert seen > 1


def test_without_an_evaluation_there_is_nothing_to_put_side_by_side(tmp_path):
    with pytest.raises(SystemExit, match="has no evaluation on test: run `llmi2i evaluate -w"):
        by_popularity.by_popularity(tmp_path)


def evaluated(workdir, name, hits, long_tail):
    """What `evaluate` leaves of a table on test: users in any order, and the report."""
    (workdir / "evaluate").mkdir(parents=True, exist_ok=True)
    users = pl.DataFrame({"user_id": [f"u{n}" for n in range(len(hits))], "recall@10": [float(hit) for hit in hits]})
    users.reverse().write_parquet(workdir / f"evaluate/{name}-test.users.parquet")
    report = {"metrics": {"all": {"recall@10": float(np.mean(hits))}, "long_tail": {"recall@10": long_tail}}}
    (workdir / f"evaluate/{name}-test.json").write_text(json.dumps(report))


def test_the_worth_of_each_step_is_told_beside_the_best_table_without_an_llm(tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    for workdir, fused in ((first, [1, 1, 1, 0]), (second, [1, 1, 1, 1])):
        evaluated(workdir, "bm25-real", [1, 0, 0, 0], 0.1)
        evaluated(workdir, "blend-real", [1, 1, 0, 0], 0.2)
        evaluated(workdir, "blend-fused", fused, 0.3 if workdir == first else 0.5)
    evaluated(first, "text-real", [0, 1, 0, 0], 0.4)  # not in the second: no mean of both
    steps.main([f"shop={first},{second}", f"one={first}"])
    first_table, second_table = capsys.readouterr().out.strip().split("\n\n")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in first_table.splitlines()[2:]]
    assert [row[:4] for row in rows] == [
        ["shop", "BM25", "0.2500", "0.1000"],
        ["shop", "BM25 + text", "0.5000", "0.2000"],
        ["shop", "BM25 + text on the fused log", "0.8750", "0.4000"],
        ["one", "text", "0.2500", "0.4000"],
        ["one", "BM25", "0.2500", "0.1000"],
        ["one", "BM25 + text", "0.5000", "0.2000"],
        ["one", "BM25 + text on the fused log", "0.7500", "0.3000"],
    ]
    gains = [row[4] for row in rows]
    assert gains[1] == gains[5] == ""
    assert gains[0].startswith("-50.0% (")
    assert gains[2].startswith("+75.0% (")
    assert gains[2].endswith("; seeds +50.0% .. +100.0%)")
    assert gains[6].startswith("+50.0% (")
    assert "seeds" not in gains[6]
    models = second_table.splitlines()[2:]
    assert [line.split("|")[1:5] for line in models] == [
        [" shop ", " BM25 + text ", " 0.5000 ", " 0.8750 "],
        [" one ", " BM25 + text ", " 0.5000 ", " 0.7500 "],
    ]


def test_a_gain_has_the_paired_interval_over_users():
    rng = np.random.default_rng(0)
    before = (rng.random(2000) < 0.2).astype(float)
    after = np.maximum(before, rng.random(2000) < 0.05)
    ours, theirs = (measured.Measured({}, {"42": hits}, "") for hits in (after, before))
    draws = np.random.default_rng(1).integers(0, 2000, (4000, 2000))
    low, high = np.quantile(after[draws].mean(axis=1) / before[draws].mean(axis=1) - 1, [0.025, 0.975])
    shown = [float(bound) / 100 for bound in re.findall(r"([+-][\d.]+)%", ours.gain_over(theirs))]
    assert shown == pytest.approx([after.mean() / before.mean() - 1, low, high], abs=0.01)
