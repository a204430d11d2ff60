"""`llmi2i refit`: the whole log is trained on, with the choices of another work directory, and nothing else changes."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest

from llmi2i_cli.artifacts.prepared import read_fused, read_histories
from llmi2i_cli.runs.manifests import read_manifest
from llmi2i_cli.stages.status import status
from tests.conftest import run
from tests.stages.shop import answer, prepare_shop
from tests.test_kill import kill_at, results

YOUTUBE_DNN = ("train-i2i", "--model", "youtubednn", "--dimensions", 8, "--epochs", 6, "--patience", 1)


@pytest.fixture(scope="module")
def work(pipeline, tmp_path_factory):
    """All stages, and a model that early stopping decides about. Not to be written to: copy it."""
    folder = tmp_path_factory.mktemp("refit") / "work"
    shutil.copytree(pipeline, folder)
    assert run(*YOUTUBE_DNN, "-w", folder) == 0
    return folder


@pytest.fixture(scope="module")
def serve(work):
    """It, refitted. Not to be written to: copy it."""
    folder = work.parent / "serve"
    assert run("refit", "-w", work, "--to", folder) == 0
    return folder


@pytest.fixture
def copies(work, serve, tmp_path):
    """Copies of both, with the choices taken from the copy."""
    shutil.copytree(work, tmp_path / "work")
    shutil.copytree(serve, tmp_path / "serve")
    assert run("refit", "-w", tmp_path / "work", "--to", tmp_path / "serve") == 0
    return tmp_path / "work", tmp_path / "serve"


def manifest(workdir, name):
    found = read_manifest(workdir / name)
    assert found is not None
    return found


def artifacts(workdir):
    """Contents of all files, but for what names the other directory or tells seconds."""
    folders = [path for path in sorted(workdir.iterdir()) if path.name != "refit"]
    return {f"{folder.name}/{name}": data for folder in folders for name, data in results(folder).items()}


def times(workdir):
    return {path: path.stat().st_mtime_ns for path in sorted(workdir.rglob("*")) if path.is_file()}


def error_of(capsys, *arguments):
    capsys.readouterr()
    status = run(*arguments)
    return status, capsys.readouterr().err


# --- what it is trained on --------------------------------------------------------------------------------------------


def test_every_interaction_is_trained_on(shop, work, serve):
    log = pl.read_parquet(shop / "interactions.parquet").unique(["user_id", "item_id", "timestamp"])
    summary = manifest(serve, "prepare/manifest.json")["summary"]
    assert (summary["train"], summary["valid"], summary["test"]) == (len(log), 0, 0)
    assert manifest(work, "prepare/manifest.json")["summary"]["train"] < len(log)
    items = pl.read_parquet(serve / "prepare/items.parquet").filter(pl.col("train_count") > 0)
    counts = dict(items.select("item_id", "train_count").iter_rows())
    assert counts == dict(log.group_by("item_id").len().iter_rows())
    fused = pl.read_parquet(serve / "fuse/interactions.parquet")
    assert len(fused.filter(source="real")) == len(log)
    assert len(read_fused(serve)[0].items) == len(fused) > len(log)


def test_the_table_is_that_of_the_whole_log(shop, serve, tmp_path):
    inputs = (shop / "interactions.parquet", "--items", shop / "items.parquet", "--split", "none")
    assert run("prepare", *inputs, "-w", tmp_path) == 0
    assert run("train-i2i", "--model", "swing", "-w", tmp_path) == 0
    name = "i2i/swing-real.parquet"
    assert (serve / name).read_bytes() == (tmp_path / name).read_bytes()


def test_to_valid_leaves_test_held_out(work, tmp_path):
    shutil.copytree(work / "prepare", tmp_path / "work/prepare")
    assert run("train-i2i", "-w", tmp_path / "work") == 0
    assert run("refit", "-w", tmp_path / "work", "--to", tmp_path / "check", "--to-split", "valid") == 0
    splits = [pl.read_parquet(folder / "prepare/interactions.parquet") for folder in (work, tmp_path / "check")]
    expected = splits[0].with_columns(split=pl.col("split").replace("valid", "train"))
    assert splits[1].equals(expected)


# --- what it is trained with ------------------------------------------------------------------------------------------


def test_the_language_models_are_trained_as_those_that_were_kept(work, serve):
    kept, trained = (manifest(folder, "sft-gen/manifest.json") for folder in (work, serve))
    numbers = ("epochs", "learning_rate", "batch_size", "max_length")
    assert trained["chosen_epoch"] == trained["options"]["stop_after"] == kept["chosen_epoch"]
    assert [trained[name] for name in numbers] == [kept[name] for name in numbers]
    assert trained["validation"] == {}
    kept, trained = (manifest(folder, "sft-disc/manifest.json") for folder in (work, serve))
    assert [trained[name] for name in numbers] == [kept[name] for name in numbers]
    assert {**kept["calibration"], **trained["calibration"]} == kept["calibration"]
    calibration = "sft-disc/model/calibration.json"
    assert (serve / calibration).read_bytes() == (work / calibration).read_bytes()
    assert trained["options"]["generator"] == manifest(serve, "sft-gen/manifest.json")["options"]


def test_candidates_are_made_judged_and_fused_as_before(work, serve):
    for stage in ("synthesize", "filter"):
        asked = [manifest(folder, f"{stage}/manifest.json")["options"] for folder in (work, serve)]
        assert asked[0] == asked[1]
    chosen, fused = (manifest(folder, "fuse/manifest.json") for folder in (work, serve))
    assert fused["choice"] == {name: chosen["choice"][name] for name in fused["choice"]}
    assert fused["options"]["tune"] is False
    assert not (serve / "fuse/sweep.parquet").exists()


def test_tables_are_trained_with_the_options_that_tuning_chose(work, serve):
    for name in ("swing-real", "swing-fused", "bpr-real"):
        chosen, trained = (manifest(folder, f"i2i/{name}.manifest.json") for folder in (work, serve))
        assert trained["choice"] == chosen["choice"]
        assert trained["options"]["tune"] is False
    chosen, trained = (manifest(folder, "i2i/youtubednn-real.manifest.json") for folder in (work, serve))
    assert 1 <= chosen["chosen_epoch"] < 6
    assert trained["choice"] == {**chosen["choice"], "epochs": chosen["chosen_epoch"]}


def test_what_was_exported_is_exported(work, serve):
    assert sorted(path.name for path in (serve / "index").iterdir()) == sorted(
        path.name for path in (work / "index").iterdir()
    )


def test_without_an_export_every_table_is_exported(work, tmp_path):
    shutil.copytree(work / "prepare", tmp_path / "work/prepare")
    for model in ("text", "bm25", "blend"):
        assert run("train-i2i", "--model", model, "-w", tmp_path / "work") == 0
    assert run("refit", "-w", tmp_path / "work", "--to", tmp_path / "serve") == 0
    tables = sorted(path.name for path in (tmp_path / "serve/index").glob("*.parquet"))
    assert tables == ["blend-real.parquet", "bm25-real.parquet", "text-real.parquet"]
    assert len(read_histories(tmp_path / "serve").items) == 1500


def test_it_is_looked_up_as_validation_chose(work, serve, capsys):
    chosen = manifest(work, "evaluate/swing-fused-test.manifest.json")["protocols"]
    lookups = json.loads((serve / "refit/choices.json").read_text())["lookups"]
    assert lookups == {
        f"swing-{log}": {name: chosen[log][name] for name in ("recent", "decay")} for log in ("real", "fused")
    }
    assert chosen["fused"]["recent"] != 100
    items = pl.read_parquet(serve / "prepare/items.parquet")["item_id"][:4].to_list()
    arguments = ("recommend", *items, "--model", "swing", "--data", "fused", "-w", serve)
    by_hand = ("--recent", chosen["fused"]["recent"], "--decay", chosen["fused"]["decay"])
    assert answer(capsys, *arguments) == answer(capsys, *arguments, *by_hand)
    assert answer(capsys, *arguments) != answer(capsys, *arguments, "--recent", 100, "--decay", 1)


def test_an_evaluation_after_valid_takes_the_lookup_that_was_chosen(work, tmp_path, capsys):
    shutil.copytree(work, tmp_path / "work")
    for folder in ("sft-gen", "sft-disc", "synthesize", "filter", "fuse", "index"):
        shutil.rmtree(tmp_path / "work" / folder)
    for path in (tmp_path / "work/i2i").iterdir():
        if not path.name.startswith("swing-real"):
            path.unlink()
    assert run("evaluate", "--recent", 3, "--decay", 0.6, "-w", tmp_path / "work") == 0
    assert run("refit", "-w", tmp_path / "work", "--to", tmp_path / "check", "--to-split", "valid") == 0
    protocol = answer(capsys, "evaluate", "-w", tmp_path / "check")["protocol"]
    assert (protocol["recent"], protocol["decay"]) == (3, 0.6)
    assert protocol["recent_chosen_by"] == "the work directory whose choices were refitted"


def test_without_a_test_split_there_is_nothing_to_measure(serve, capsys):
    status, message = error_of(capsys, "evaluate", "--model", "swing", "-w", serve)
    assert status == 1
    assert f"{serve}/prepare has no test split: `llmi2i refit --to-split valid` leaves test held out" in message


def test_the_log_is_read_as_it_was(tmp_path):
    """Several files in formats of their own, in their order, with catalogue and profiles and every option."""
    (tmp_path / "one.csv").write_text("user_id,item_id,timestamp\n" + "".join(f"u{k % 4},i{k},7\n" for k in range(20)))
    rows = [{"user_id": f"u{k % 5}", "item_id": f"i{k % 9}", "timestamp": k % 3} for k in range(30)]
    pl.DataFrame(rows).write_parquet(tmp_path / "two.parquet")
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"i{k},Title {k}\n" for k in range(25)))
    (tmp_path / "users.csv").write_text("user_id,profile\nu1,old\n")
    inputs = (tmp_path / "two.parquet", tmp_path / "one.csv", "--items", tmp_path / "items.csv")
    options = ("--users", tmp_path / "users.csv", "--max-user-items", 9, "--tail-fraction", 0.5)
    assert run("prepare", *inputs, *options, "-w", tmp_path / "work") == 0
    assert run("train-i2i", "-w", tmp_path / "work") == 0
    assert run("refit", "-w", tmp_path / "work", "--to", tmp_path / "serve") == 0
    assert run("prepare", *inputs, *options, "--to-split", "test", "-w", tmp_path / "by-hand") == 0
    assert results(tmp_path / "serve/prepare") == results(tmp_path / "by-hand/prepare")
    asked = [manifest(tmp_path / name, "prepare/manifest.json")["options"] for name in ("serve", "by-hand")]
    assert asked[0] == asked[1]


def test_the_options_of_the_last_refit_do_not_hold(shop, tmp_path, capsys):
    """W, prepared with --append, makes SERVE keep its log, too; what W leaves at its default is the default there."""
    work, serve = tmp_path / "work", tmp_path / "serve"
    log, items = shop / "interactions.parquet", ("--items", shop / "items.parquet")
    for asked, n_items in (((*items, "--max-user-items", 6), 60), ((), pl.read_parquet(log)["item_id"].n_unique())):
        shutil.rmtree(work, ignore_errors=True)
        assert run("prepare", log, "--append", *asked, "-w", work) == 0
        assert run("train-i2i", "-w", work) == 0
        assert run("refit", "-w", work, "--to", serve) == 0
        summaries = [manifest(folder, "prepare/manifest.json")["summary"] for folder in (work, serve)]
        assert summaries[1]["train"] == summaries[0]["interactions"]
        assert summaries[1]["items"] == n_items
    assert summaries[1]["train"] == 1500
    told = "all files are read again: the last run had 6 for --max-user-items\n"
    assert told in capsys.readouterr().err


# --- again, after a change, after a kill ------------------------------------------------------------------------------


def test_a_second_refit_does_nothing(copies):
    work, serve = copies
    before = times(serve)
    assert run("refit", "-w", work, "--to", serve) == 0
    assert times(serve) == before
    assert {row["state"] for row in status(serve)} == {"done", "missing"}


def test_other_choices_make_it_stale_and_run_again_what_follows_from_them(copies):
    work, serve = copies
    assert run("fuse", "--strategy", "pseudo-user", "--recall-number", 3, "--no-tune", "-w", work) == 0
    assert run("train-i2i", "--model", "swing", "--data", "fused", "--tune", "-w", work) == 0
    assert run("evaluate", "--model", "swing", "--data", "fused", "--baseline", "real", "-w", work) == 0
    forms = ("--format", "jsonl", "--format", "mmap")
    assert run("export-index", "--model", "swing", "--data", "fused", *forms, "-w", work) == 0
    (row,) = [row for row in status(serve) if row["stage"] == "refit"]
    assert (row["state"], row["why"]) == ("stale", f"{work}/fuse/manifest.json changed")
    before = times(serve / "sft-disc")
    assert run("refit", "-w", work, "--to", serve) == 0
    choice = manifest(serve, "fuse/manifest.json")["choice"]
    assert (choice["strategy"], choice["recall_number"]) == ("pseudo-user", 3)
    assert times(serve / "sft-disc") == before
    assert {row["state"] for row in status(serve)} == {"done", "missing"}


def test_the_manifest_names_the_choices_by_their_contents(work, serve):
    found = manifest(serve, "refit/manifest.json")
    assert found["options"] == {"work": str(work.resolve()), "to_split": "test"}
    names = ("sft-gen/manifest.json", "fuse/manifest.json", "i2i/swing-fused.manifest.json")
    assert {str(work.resolve() / name) for name in names} < set(found["inputs"])
    assert all(len(entry["digest"]) == 32 for entry in found["inputs"].values())


@pytest.mark.parametrize(
    ("folder", "mark"),
    [
        ("prepare", "manifest.json"),
        ("sft-gen", ".partial-*/checkpoints/checkpoint-*/complete.json"),
        ("sft-disc", ".partial-*/held-back/model/config.json"),
        ("fuse", "manifest.json"),
    ],
)
def test_killed_and_begun_again_it_leaves_the_same(work, serve, tmp_path, folder, mark):
    again = tmp_path / "serve"
    if folder != "prepare":
        before = ("prepare", "sft-gen", "sft-disc", "synthesize", "filter")
        for done in before[: before.index(folder) if folder in before else None]:
            shutil.copytree(serve / done, again / done)
        shutil.copytree(serve / "refit", again / "refit")
    kill_at(mark, again / folder, "refit", "-w", work, "--to", again)
    assert not (again / "index").exists()
    assert run("refit", "-w", work, "--to", again) == 0
    assert artifacts(again) == artifacts(serve)


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_what_is_stale_is_not_taken(copies, tmp_path, capsys):
    work, _ = copies
    assert run("synthesize", "--recall-number", 5, "-w", work) == 0
    status, message = error_of(capsys, "refit", "-w", work, "--to", tmp_path / "new")
    assert status == 1
    assert message == (
        f"Error: {work}: filter is stale (synthesize/candidates.parquet changed): run `llmi2i filter -w {work}` first\n"
    )
    assert not (tmp_path / "new").exists()


def test_it_needs_a_log_and_a_table(tmp_path, capsys):
    status, message = error_of(capsys, "refit", "-w", tmp_path / "work", "--to", tmp_path / "serve")
    assert (status, message.count("run `llmi2i prepare INPUT... -w")) == (1, 1)
    work = prepare_shop(tmp_path)
    status, message = error_of(capsys, "refit", "-w", work, "--to", tmp_path / "serve")
    assert (status, message.count("has no result of train-i2i: run `llmi2i train-i2i --model")) == (1, 1)
    assert not (tmp_path / "serve").exists()


def test_another_log_is_not_written_over(work, prepared, tmp_path, capsys):
    assert error_of(capsys, "refit", "-w", work, "--to", work)[0] == 2
    shutil.copytree(prepared, tmp_path / "own")
    before = times(tmp_path / "own")
    status, message = error_of(capsys, "refit", "-w", work, "--to", tmp_path / "own")
    assert (status, message) == (
        2,
        f"Error: --to {tmp_path / 'own'} is a work directory with a log of its own: name another one\n",
    )
    assert times(tmp_path / "own") == before


def test_a_manifest_that_does_not_tell_is_named(copies, capsys):
    work, serve = copies
    path = work / "sft-gen/manifest.json"
    told = json.loads(path.read_text())
    del told["chosen_epoch"]
    path.write_text(json.dumps(told))
    status, message = error_of(capsys, "refit", "-w", work, "--to", serve)
    assert status == 1
    assert f"{path} does not tell what was chosen ('chosen_epoch'): run `llmi2i sft-gen -w {work} --force`" in message
