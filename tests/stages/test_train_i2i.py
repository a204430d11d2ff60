from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import read_catalogue, read_fused, read_histories, read_user_ids
from llmi2i_cli.choices.blends import weights_of
from llmi2i_cli.choices.models import MODELS, parts_of, sources_of
from llmi2i_cli.evaluation.validation import best_lookup, read_held_out, recall_by_lookup
from llmi2i_cli.i2i import training
from llmi2i_cli.i2i.blend import blend_neighbours
from llmi2i_cli.i2i.neighbour_table import read_neighbours
from llmi2i_cli.i2i.swing import swing_neighbours
from llmi2i_cli.i2i.youtube_dnn import YoutubeDNN
from llmi2i_cli.llm.item_states import ItemStates
from llmi2i_cli.stages.status import status
from tests.conftest import as_own
from tests.stages.shop import answer, prepare_shop, run, write_fused

QUICK = {"bpr": ["--iterations", 5, "--factors", 8], "youtubednn": ["--epochs", 2, "--dimensions", 8]}


@pytest.fixture
def workdir(tmp_path):
    return prepare_shop(tmp_path)


def write_vectors(folder, *, step=0.1):
    """Vectors that turn from item to item, of all items but the first, and of one that is no item."""
    angles = np.arange(1, 41) * step
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    table = pl.DataFrame({"item_id": [f"i{item}" for item in range(1, 41)], "vector": vectors.tolist()})
    table.write_parquet(folder / "vectors.parquet")
    return folder / "vectors.parquet"


def manifest(workdir, label):
    return json.loads((workdir / f"i2i/{label}.manifest.json").read_text())


def test_swing_on_the_real_log_is_swing_of_the_train_split(workdir):
    assert run("train-i2i", "-w", workdir, "--top-k", 7, "--smoothing", 2, "--user-weight", "one") == 0
    expected = swing_neighbours(read_histories(workdir), top_k=7, smoothing=2.0, user_weight="one")
    found = read_neighbours(workdir, "swing", "real", read_catalogue(workdir).ids)
    assert (found.ids == expected.ids).all()
    assert (found.scores == expected.scores).all()
    assert manifest(workdir, "swing-real")["choice"]["smoothing"] == 2.0
    assert sorted(path.name for path in (workdir / "i2i").iterdir()) == [
        "swing-real.manifest.json",
        "swing-real.parquet",
    ]


def test_the_fused_log_brings_its_pseudo_users_and_weights(workdir):
    write_fused(workdir)
    assert run("train-i2i", "--data", "fused", "-w", workdir) == 0
    fused, user_ids = read_fused(workdir)
    assert len(user_ids) == 120
    assert fused.weights is not None
    assert sorted(set(fused.weights.tolist())) == [0.5, 1.0]
    expected = swing_neighbours(fused)
    found = read_neighbours(workdir, "swing", "fused", read_catalogue(workdir).ids)
    assert (found.ids == expected.ids[:, : found.k]).all()
    assert (found.scores == expected.scores[:, : found.k]).all()


@pytest.mark.parametrize("data", ["real", "fused"])
def test_youtube_dnn_keeps_the_vectors_of_the_real_users(workdir, monkeypatch, data):
    write_fused(workdir)
    trained: list[Any] = []
    original = training.train

    def remember(*arguments, **options):
        result = original(*arguments, **options)
        trained.append(result.user_ranker)
        return result

    monkeypatch.setattr(training, "train", remember)
    assert run("train-i2i", "--model", "youtubednn", "--data", data, *QUICK["youtubednn"], "-w", workdir) == 0
    queries, user_ids = read_histories(workdir), read_user_ids(workdir)
    log_ids = user_ids if data == "real" else read_fused(workdir)[1]
    rows = np.array([log_ids.to_list().index(user) for user in user_ids], np.int32)
    saved = YoutubeDNN.load(workdir / f"i2i/youtubednn-{data}.vectors.npz")
    vectors = saved.user_vectors(np.arange(len(user_ids), dtype=np.int32), queries)
    assert np.array_equal(vectors, trained[0].user_vectors(rows, queries))
    assert np.array_equal(saved.item_vectors, trained[0].item_vectors)
    assert len(set(map(tuple, vectors.tolist()))) == len(user_ids)


@pytest.mark.parametrize("model", ["bpr", "youtubednn"])
def test_faiss_finds_the_neighbours_of_a_small_shop_exactly(workdir, model):
    pytest.importorskip("faiss", reason="faiss is an extra: pip install 'llmi2i[faiss]'")
    found = []
    for search in ("exact", "faiss"):
        assert run("train-i2i", "--model", model, *QUICK[model], "--search", search, "--top-k", 39, "-w", workdir) == 0
        found.append(read_neighbours(workdir, model, "real", read_catalogue(workdir).ids))
        assert manifest(workdir, f"{model}-real")["options"]["search"] == search
    assert found[1].scores == pytest.approx(found[0].scores, abs=1e-6)
    assert [set(row) for row in found[1].ids.tolist()] == [set(row) for row in found[0].ids.tolist()]


def test_without_faiss_nothing_is_trained(workdir, capsys, monkeypatch):
    monkeypatch.setattr("llmi2i_cli.i2i.faiss_search.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(training, "train", None)
    assert run("train-i2i", "--model", "bpr", "--search", "faiss", "-w", workdir) == 1
    assert capsys.readouterr().err == (
        "Error: --search faiss needs the package faiss: pip install 'llmi2i[faiss]', or leave out --search\n"
    )


@pytest.mark.parametrize("model", ["swing", "bpr"])
def test_a_large_catalogue_recommends_faiss_to_models_that_have_use_for_it(workdir, capsys, monkeypatch, model):
    monkeypatch.setattr("llmi2i_cli.stages.train_i2i.EXACT_SEARCH_ITEMS", 39)
    assert run("train-i2i", "--model", model, *QUICK.get(model, []), "-w", workdir) == 0
    recommended = "comparing each of 40 items with all others is slow; --search faiss is quicker"
    assert (recommended in capsys.readouterr().err) == (model == "bpr")


def test_tuning_takes_the_best_point_and_leaves_the_sweep(workdir, capsys):
    result = answer(capsys, "train-i2i", "--tune", "--smoothing", 3, "-w", workdir)
    sweep = pl.read_parquet(workdir / "i2i/swing-real.sweep.parquet")
    assert sweep["user_weight"].to_list() == ["sqrt", "one"]
    assert sweep["smoothing"].to_list() == [3, 3]  # given, so not tuned
    held_out = read_held_out(workdir, "valid")
    for row in sweep.iter_rows(named=True):
        neighbours = swing_neighbours(read_histories(workdir), smoothing=3.0, user_weight=row["user_weight"])
        recalls = recall_by_lookup(neighbours, held_out)
        assert (row["recent"], row["decay"]) == best_lookup(recalls)
        assert row["recall@10"] == max(recalls.values())
    best = sweep.sort("recall@10", descending=True, maintain_order=True).row(0, named=True)
    assert result["choice"]["user_weight"] == best["user_weight"]
    assert result["validation_recall_at_10"] == best["recall@10"]
    assert sweep.filter("chosen")["user_weight"].to_list() == [best["user_weight"]]


def test_tuning_that_was_killed_trains_only_what_is_left(workdir, monkeypatch):
    trained: list[dict] = []
    original = training.train

    def killed_at_the_fourth(model, job, options):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(options)
        return original(model, job, options)

    monkeypatch.setattr(training, "train", killed_at_the_fourth)
    assert run("train-i2i", "--tune", "-w", workdir) == 130
    assert not (workdir / "i2i/swing-real.parquet").exists()

    first = list(trained)
    trained.clear()

    def counted(model, job, options):
        trained.append(options)
        return original(model, job, options)

    monkeypatch.setattr(training, "train", counted)
    assert run("train-i2i", "--tune", "-w", workdir) == 0
    choice = manifest(workdir, "swing-real")["choice"]
    assert [options for options in trained if options not in first] == MODELS["swing"].points({})[3:]
    assert [options for options in trained if options in first] == ([choice] if choice in first else [])
    resumed = (workdir / "i2i/swing-real.parquet").read_bytes()
    assert run("train-i2i", "--tune", "--force", "-w", workdir) == 0
    assert (workdir / "i2i/swing-real.parquet").read_bytes() == resumed


@pytest.mark.parametrize("model", MODELS)
def test_the_test_split_has_no_say(tmp_path, model):
    """Every test item replaced by another: the same artifacts, tuned and stopped early as they are."""
    artifacts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        workdir = prepare_shop(tmp_path / name)
        path = workdir / "prepare/interactions.parquet"
        if name == "two":
            as_own(workdir, "prepare/interactions.parquet")
            other = pl.when(split="test").then(pl.lit("i0")).otherwise("item_id").alias("item_id")
            pl.read_parquet(path).with_columns(other).write_parquet(path)
        if "generator" in sources_of(model):
            assert run("sft-gen", "--epochs", 1, "-w", workdir) == 0
        for part, _ in parts_of(model, MODELS[model].complete({}), "real"):
            assert run("train-i2i", "--model", part, "-w", workdir) == 0
        given = ("--item-vectors", write_vectors(tmp_path)) if "vectors" in MODELS[model].reads else ()
        assert run("train-i2i", "--model", model, "--tune", *QUICK.get(model, []), *given, "-w", workdir) == 0
        artifacts.append({p.name: p.read_bytes() for p in (workdir / "i2i").glob(f"{model}-real.*[!n]")})
    assert len(artifacts[0]) == (3 if model == "youtubednn" else 2)
    assert artifacts[0] == artifacts[1]


def test_a_second_run_does_nothing_and_a_changed_option_does(workdir, capsys, monkeypatch):
    assert run("train-i2i", "-w", workdir) == 0
    monkeypatch.setattr(training, "train", None)
    assert run("train-i2i", "-w", workdir) == 0
    assert "train-i2i: swing on the real log is up to date" in capsys.readouterr().err
    assert run("train-i2i", "--smoothing", 1, "-w", workdir) == 1


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["--k1", 2], 2, "Error: --k1 is an option of bm25 and text, not of swing: leave it out"),
        (
            ["--model", "bm25", "--learning-rate", 0.1],
            2,
            "Error: --learning-rate is an option of bpr and youtubednn, not of bm25: leave it out",
        ),
        (
            ["--model", "youtubednn", "--tune", "--learning-rate", 0.1],
            2,
            "Error: --tune has nothing to choose: leave out one of the options given, or --tune",
        ),
        (
            ["--search", "faiss"],
            2,
            "Error: --search is an option of bpr and youtubednn and vectors and embedding, not of swing: leave it out",
        ),
        (["--model", "vectors"], 2, "Error: --model vectors needs --item-vectors FILE: Parquet with item_id and"),
        (["--model", "vectors", "--item-vectors", "none.parquet"], 1, "Error: none.parquet: no such file"),
        (["--model", "next-item"], 1, "sft-gen/model is missing: run `llmi2i sft-gen -w"),
        (["--user-weight", "cubed"], 2, None),
        (["--data", "fused"], 1, "fuse/interactions.parquet is missing: run `llmi2i fuse -w"),
    ],
)
def test_mistakes_get_one_line_and_write_nothing(workdir, capsys, arguments, status, message):
    capsys.readouterr()
    assert run("train-i2i", *arguments, "-w", workdir) == status
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert message is None or message in error
    assert not (workdir / "i2i").exists()


def test_tuning_needs_a_validation_split(tmp_path, capsys):
    workdir = prepare_shop(tmp_path, "--split", "none")
    assert run("train-i2i", "--tune", "-w", workdir) == 1
    assert "prepare has no validation split to tune on: leave out --tune" in capsys.readouterr().err
    assert run("train-i2i", "--model", "youtubednn", *QUICK["youtubednn"], "-w", workdir) == 0


def test_vectors_of_the_user(workdir, tmp_path, capsys):
    path = write_vectors(tmp_path)
    asked = ("train-i2i", "--model", "vectors", "--item-vectors", path, "--top-k", 3, "-w", workdir)
    assert run(*asked) == 0
    told = capsys.readouterr().err
    assert f"{path}: 1 vectors are of items outside the catalogue and left out" in told
    assert f"{path}: 1 of 40 items have no vector and so no neighbours" in told
    table = pl.read_parquet(workdir / "i2i/vectors-real.parquet")
    assert table.filter(item_id="i20")["neighbour_id"].to_list()[0] in ("i19", "i21")
    assert not table.filter((pl.col("item_id") == "i0") | (pl.col("neighbour_id") == "i0")).height
    assert run(*asked) == 0
    assert "vectors on the real log is up to date" in capsys.readouterr().err
    assert run("train-i2i", "--model", "bm25", "-w", workdir) == 0
    assert run("train-i2i", "--model", "blend", "--parts", "bm25,vectors", "-w", workdir) == 0
    write_vectors(tmp_path, step=0.5)
    states = {row["variant"]: row["why"] for row in status(workdir) if row["stage"] == "train-i2i"}
    assert states["vectors real"] == f"{path} changed"
    assert states["blend real"] == "i2i/vectors-real.parquet is stale"
    capsys.readouterr()
    assert run(*asked) == 0
    assert "up to date" not in capsys.readouterr().err


@pytest.mark.parametrize("model", ["embedding", "next-item"])
def test_tables_of_the_generator(pipeline, tmp_path, capsys, model):
    workdir = tmp_path / "work"
    for folder in ("prepare", "sft-gen"):
        shutil.copytree(pipeline / folder, workdir / folder)
    assert run("train-i2i", "--model", model, "--power", 2, "-w", workdir) == 0
    catalogue = read_catalogue(workdir)
    generator = ItemStates.load(workdir / "sft-gen/model", catalogue)
    job = training.Job(Histories.from_rows([], catalogue.n_items), generator=generator)
    expected = training.train(model, job, MODELS[model].complete({"power": 2.0})).neighbours
    found = read_neighbours(workdir, model, "real", catalogue.ids)
    assert np.array_equal(found.ids, expected.ids[:, : found.k])
    assert found.scores == pytest.approx(expected.scores[:, : found.k], rel=1e-4)
    capsys.readouterr()
    assert run("train-i2i", "--model", model, "--data", "fused", "-w", workdir) == 2
    assert capsys.readouterr().err == f"Error: {model} does not read the log: leave out --data fused\n"
    assert run("sft-gen", "--epochs", 1, "-w", workdir) == 0
    [row] = [row for row in status(workdir) if row["variant"] == f"{model} real"]
    assert (row["state"], row["why"].rpartition("/")[0]) == ("stale", "sft-gen/model")


def test_a_blend_of_text_and_bm25_from_the_command_line(workdir, capsys):
    capsys.readouterr()
    assert run("train-i2i", "--model", "blend", "-w", workdir) == 1
    assert "run `llmi2i train-i2i --model bm25 --data real -w" in capsys.readouterr().err
    assert run("train-i2i", "--model", "text", "--data", "fused", "-w", workdir) == 2
    assert capsys.readouterr().err == "Error: text does not read the log: leave out --data fused\n"
    for model in ("bm25", "text"):
        assert run("train-i2i", "--model", model, "-w", workdir) == 0
    capsys.readouterr()
    result = answer(capsys, "train-i2i", "--model", "blend", "--tune", "-w", workdir)
    sweep = pl.read_parquet(workdir / "i2i/blend-real.sweep.parquet")
    assert len(sweep) >= 6  # the start, and what is around it
    assert result["validation_recall_at_10"] == sweep["recall@10"].max()
    ids = read_catalogue(workdir).ids
    parts = [read_neighbours(workdir, part, "real", ids) for part in ("bm25", "text")]
    expected = blend_neighbours(parts, weights_of(**result["choice"]), top_k=200)
    found = read_neighbours(workdir, "blend", "real", ids)
    assert np.array_equal(found.ids, expected.ids[:, : found.k])
    assert run("train-i2i", "--model", "bm25", "--k1", 0.5, "-w", workdir) == 0
    capsys.readouterr()
    assert run("status", "-w", workdir) == 0
    assert "i2i/bm25-real.parquet changed" in capsys.readouterr().out
    given = ("--weights", "1,1", "--tune")
    assert run("train-i2i", "--model", "blend", *given, "-w", workdir) == 2
    assert "--tune has nothing to choose" in capsys.readouterr().err
