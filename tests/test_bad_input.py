"""Bad input gets one line that says what to do next, and leaves what was there as it was."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from llmi2i_cli.files.tables import write_table
from llmi2i_cli.runs.pipeline import maker_of
from tests.conftest import as_own, run

FUSED_SWING = ("--model", "swing", "--data", "fused")
# Each stage with the artifacts it reads besides prepare/, and the command that makes them.
READS: dict[tuple[str, ...], dict[str, str]] = {
    ("sft-gen",): {},
    ("sft-gen", "--examples-only"): {},
    ("sft-disc",): {"sft-gen/model": "llmi2i sft-gen"},
    ("synthesize",): {"sft-gen/model": "llmi2i sft-gen"},
    ("filter",): {"sft-disc/model": "llmi2i sft-disc", "synthesize/candidates.parquet": "llmi2i synthesize"},
    ("fuse",): {"filter/scored.parquet": "llmi2i filter"},
    ("train-i2i", *FUSED_SWING): {"fuse/interactions.parquet": "llmi2i fuse"},
    ("train-i2i", "--model", "youtubednn"): {},
    ("evaluate", *FUSED_SWING): {"i2i/swing-fused.parquet": "llmi2i train-i2i --model swing --data fused"},
    ("evaluate", "--model", "generator"): {"sft-gen/model": "llmi2i sft-gen"},
    ("export-index", *FUSED_SWING): {"i2i/swing-fused.parquet": "llmi2i train-i2i --model swing --data fused"},
}
# One stage for each kind of reader of prepare/; the others read it by the same functions.
TABLES = {
    ("sft-gen", "prepare/interactions.parquet"): "prepare INPUT...",
    ("sft-gen", "prepare/users.parquet"): "prepare INPUT...",
    ("synthesize", "prepare/items.parquet"): "prepare INPUT...",
    ("filter", "synthesize/candidates.parquet"): "synthesize",
    ("fuse", "prepare/interactions.parquet"): "prepare INPUT...",
    ("fuse", "filter/scored.parquet"): "filter",
    ("train-i2i", "prepare/interactions.parquet"): "prepare INPUT...",
    ("train-i2i", "fuse/interactions.parquet"): "fuse",
    ("evaluate", "i2i/swing-fused.parquet"): "train-i2i --model swing --data fused",
    ("export-index", "i2i/swing-fused.parquet"): "train-i2i --model swing --data fused",
    ("export-index", "prepare/items.parquet"): "prepare INPUT...",
}
OF_CHECKPOINTS = ("no card", "cut card", "foreign card", "other catalogue", "cut weights", "no config")
OPTIONS = {"train-i2i": FUSED_SWING, "evaluate": FUSED_SWING, "export-index": FUSED_SWING}


@pytest.fixture
def workdir(pipeline, tmp_path):
    shutil.copytree(pipeline, tmp_path / "work")
    return tmp_path / "work"


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def failure(capsys, *arguments):
    """Exit status and message of a command that fails as it should: one line, nothing on stdout."""
    capsys.readouterr()
    status = run(*arguments)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("Error: ")
    assert output.err.count("\n") == 1
    assert "this should not happen" not in output.err
    return status, output.err


# --- a stage before its input exists --------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", READS, ids=" ".join)
def test_before_anything_was_prepared(tmp_path, capsys, stage):
    status, error = failure(capsys, *stage, "-w", tmp_path / "new")
    assert status == 1
    first = "sft-gen" if stage == ("sft-disc",) else "prepare INPUT..."
    assert f"run `llmi2i {first} -w {tmp_path / 'new'}` first" in error
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("stage", "path"), [(stage, path) for stage, reads in READS.items() for path in reads])
def test_before_the_stage_that_makes_its_input(workdir, capsys, stage, path):
    if (workdir / path).is_dir():
        shutil.rmtree(workdir / path)
    else:
        (workdir / path).unlink()
    before = contents(workdir)
    status, error = failure(capsys, *stage, "-w", workdir)
    assert status == 1
    assert f"{workdir}/{path}" in error
    assert f"is missing: run `{READS[stage][path]} -w {workdir}` first" in error
    assert contents(workdir) == before


# --- damaged and foreign artifacts ----------------------------------------------------------------------------------


def rot(file):
    """Turn one bit in the middle of a file, as a disk does: neither its size nor its time tell of it."""
    stat, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def one_file(workdir, path):
    """A file of an artifact: the largest one of a checkpoint."""
    place = workdir / path
    return max(place.iterdir(), key=lambda file: file.stat().st_size) if place.is_dir() else place


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        *((stage, path + "/" * path.endswith("model")) for stage, reads in READS.items() for path in reads),
        (("filter", "--include-real"), "prepare/interactions.parquet"),
        (("fuse",), "prepare/users.parquet"),
        (("train-i2i", "--model", "bm25"), "prepare/items.parquet"),
    ],
)
def test_what_is_read_has_to_be_what_was_written(workdir, capsys, stage, path):
    file, maker = one_file(workdir, path), maker_of(path)
    assert maker is not None
    rot(file)
    before = contents(workdir)
    status, error = failure(capsys, *stage, "--force", "-w", workdir)
    assert status == 1
    told = f"is damaged or was changed after `{maker.command}` wrote it"
    assert f"Error: {file} {told}: run `{maker.command} -w {workdir} --force`" in error
    assert contents(workdir) == before


@pytest.mark.parametrize("path", ["i2i/swing-fused.parquet", "prepare/items.parquet", "prepare/interactions.parquet"])
def test_what_is_recommended_rests_on_what_was_written(workdir, tmp_path, capsys, path):
    rot(workdir / path)
    user = pl.read_parquet(workdir / "prepare/users.parquet")["user_id"][0]
    (tmp_path / "users").write_text(user)
    status, error = failure(capsys, "recommend", *FUSED_SWING, "--file", tmp_path / "users", "-w", workdir)
    assert (status, f"{workdir / path} is damaged or was changed" in error) == (1, True)
    if path == "prepare/interactions.parquet":
        return
    item = pl.read_parquet(workdir / "synthesize/candidates.parquet")["item_id"][0]
    status, error = failure(capsys, "recommend", *FUSED_SWING, "--item", item, "-w", workdir)
    assert (status, f"{workdir / path} is damaged or was changed" in error) == (1, True)


def test_figures_that_are_shown_again_are_those_that_were_written(workdir, capsys):
    rot(workdir / "evaluate/swing-fused-test.json")
    status = run("evaluate", *FUSED_SWING, "--baseline", "real", "-w", workdir)
    assert (status, "swing-fused-test.json is damaged or was changed" in capsys.readouterr().err) == (1, True)


def test_a_discriminator_whose_calibration_is_gone(workdir, capsys):
    path = workdir / "sft-disc/model/calibration.json"
    path.unlink()
    status, error = failure(capsys, "filter", "--include-real", "-w", workdir)
    assert (status, f"{path} is missing: run `llmi2i sft-disc -w {workdir} --force`" in error) == (1, True)


def test_an_artifact_of_the_users_own_is_used_as_it_is(workdir, capsys):
    path = workdir / "synthesize/candidates.parquet"
    write_table(pl.read_parquet(path).filter(pl.col("rank") == 1), path)
    status, error = failure(capsys, "filter", "-w", workdir)
    assert (status, f"or remove {workdir}/synthesize/manifest.json to use the file as it is" in error) == (1, True)
    as_own(workdir, "synthesize/candidates.parquet")
    assert run("filter", "-w", workdir) == 0
    assert set(pl.read_parquet(workdir / "filter/scored.parquet")["rank"]) == {1}


def test_a_damaged_manifest_vouches_for_nothing(workdir, capsys):
    manifest = workdir / "synthesize/manifest.json"
    manifest.write_text("{")
    status, error = failure(capsys, "filter", "--force", "-w", workdir)
    assert (status, f"{manifest} is damaged: run `llmi2i synthesize -w {workdir} --force`" in error) == (1, True)


@pytest.mark.parametrize(("stage", "path"), TABLES)
@pytest.mark.parametrize("damage", ["truncated", "binary", "other columns", "other types"])
def test_a_damaged_or_foreign_table(workdir, capsys, stage, path, damage):
    table = workdir / path
    as_own(workdir, path)
    if damage == "truncated":
        table.write_bytes(table.read_bytes()[:-100])
    elif damage == "binary":
        table.write_bytes(bytes(range(256)) * 10)
    elif damage == "other columns":
        write_table(pl.DataFrame({"user": ["a"], "item": ["b"]}), table)
    else:
        frame = pl.read_parquet(table)
        column = "user_id" if "user_id" in frame.columns else "item_id"
        write_table(frame.with_columns(pl.int_range(pl.len()).alias(column)), table)
    before = contents(workdir)
    status, error = failure(capsys, stage, *OPTIONS.get(stage, ()), "-w", workdir)
    assert status == 1
    assert str(table) in error
    assert f"run `llmi2i {TABLES[stage, path]}" in error
    assert contents(workdir) == before


@pytest.mark.parametrize(("stage", "model"), [("synthesize", "sft-gen"), ("filter", "sft-disc")])
@pytest.mark.parametrize("damage", OF_CHECKPOINTS)
def test_a_damaged_or_foreign_checkpoint(workdir, capsys, stage, model, damage):
    folder = workdir / model / "model"
    as_own(workdir, f"{model}/model/")
    card, weights = folder / "llmi2i.json", folder / "model.safetensors"
    if damage == "no card":
        card.unlink()
    elif damage == "cut card":
        card.write_text(card.read_text()[:50])
    elif damage == "foreign card":
        card.write_text('{"role": "generator"}')
    elif damage == "other catalogue":
        card.write_text(json.dumps({**json.loads(card.read_text()), "catalogue": "0" * 32}))
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    else:
        (folder / "config.json").unlink()
    before = contents(workdir)
    status, error = failure(capsys, stage, "-w", workdir)
    assert status == 1
    assert str(folder) in error
    assert f"run `llmi2i {model}" in error
    assert contents(workdir) == before


def test_a_discriminator_without_its_buckets(workdir, capsys):
    path = workdir / "sft-disc/model/feature_buckets.json"
    as_own(workdir, "sft-disc/model/")
    path.write_text(path.read_text()[:20])
    status, error = failure(capsys, "filter", "-w", workdir)
    assert (status, "run `llmi2i sft-disc" in error) == (1, True)


def test_artifacts_of_another_log(workdir, capsys, tmp_path):
    candidates = workdir / "synthesize/candidates.parquet"
    as_own(workdir, "synthesize/candidates.parquet")
    write_table(pl.read_parquet(candidates).with_columns(user_id="stranger-" + pl.col("user_id")), candidates)
    status, error = failure(capsys, "filter", "-w", workdir)
    assert status == 1
    assert "'stranger-" in error
    assert "it belongs to another log" in error


# --- models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nowhere", "empty", "no config", "unknown", "encoder"])
@pytest.mark.parametrize("stage", ["sft-gen", "sft-disc"])
def test_a_base_that_is_no_causal_language_model(workdir, tmp_path, capsys, stage, kind):
    base = tmp_path / "base"
    if kind != "nowhere":
        base.mkdir()
    if kind == "no config":
        (base / "notes.txt").write_text("no model")
    elif kind == "unknown":
        (base / "config.json").write_text('{"model_type": "none-such"}')
    elif kind == "encoder":
        (base / "config.json").write_text('{"model_type": "clip_vision_model"}')
    before = {name: content for name, content in contents(workdir).items() if name.startswith(("prepare", stage))}
    options = ("--negatives", "uniform") if stage == "sft-disc" else ()
    status, error = failure(capsys, stage, "--base-model", base, *options, "-w", workdir)
    assert status == 1
    assert f"{base} is not a causal language model that can be loaded" in error
    assert "give a local directory, a hub id or a preset (llama-tiny" in error
    after = contents(workdir)
    assert {name: after[name] for name in after if name.startswith(("prepare", stage))} == before


def test_flash_attention_where_there_is_none(workdir, capsys):
    status, error = failure(capsys, "synthesize", "--attention", "flash_attention_2", "--force", "-w", workdir)
    assert status == 1
    assert "flash_attention_2 needs a CUDA device and the package flash-attn: use --attention auto or sdpa" in error


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "{log}", "--eval-users", "5"], "--eval-users samples users for --split last-day"),
        (["sft-gen", "--alpha", "0", "--beta", "0"], "--alpha and --beta are both 0"),
        (["synthesize", "--shards", "2", "--shard", "3"], "--shard 3 is not one of the 2 shards"),
        (["sft-disc", "--attention", "sdpa"], "No such option: --attention"),
        (["filter", "--attention", "sdpa"], "No such option: --attention"),
        (["filter", "--shard", "2"], "--shard 2 is not one of the 1 shards"),
        (["train-i2i", "--model", "bm25", "--smoothing", "1"], "--smoothing is an option of swing, not of bm25"),
        (["evaluate", "--model", "generator", "--data", "fused"], "leave out --data and --baseline"),
        (["evaluate", "--ranking", "user-vectors"], "--ranking user-vectors needs --model youtubednn"),
        (["simulate", "{out}", "--users", "9", "--interactions", "5"], "--interactions 5 is less than --users 9"),
    ],
)
def test_options_that_contradict_each_other(workdir, shop, tmp_path, capsys, arguments, message):
    before = contents(workdir)
    out = tmp_path / "out"
    filled = [part.format(log=shop / "interactions.parquet", out=out) for part in arguments]
    status, error = failure(capsys, *filled, *(() if filled[0] == "simulate" else ("-w", workdir)))
    assert status == 2
    assert message in error
    assert contents(workdir) == before
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        (["sft-gen", "--template"], None, "no such file"),
        (["sft-gen", "--template"], b"no place for a history", "{{history}}"),
        (["sft-gen", "--template"], b"\xff\xfe\x00", "template"),
        (["synthesize", "--only-users"], None, "no such file"),
        (["synthesize", "--only-users"], b"", "names no user: put one id on each line"),
        (["synthesize", "--only-users"], b"nobody\n", "user 'nobody' is not in prepare/users.parquet"),
        (["synthesize", "--only-users"], b"\xff\xfe\x00", "cannot be read as a list of users"),
    ],
)
def test_a_file_given_as_an_option(workdir, tmp_path, capsys, arguments, content, message):
    path = tmp_path / "template"
    if content is not None:
        path.write_bytes(content)
    before = contents(workdir)
    status, error = failure(capsys, *arguments, path, "-w", workdir)
    assert status == 1
    assert str(path) in error
    assert message.replace("{{", "{").replace("}}", "}") in error
    assert contents(workdir) == before


# --- the disk -------------------------------------------------------------------------------------------------------


def test_a_name_that_no_file_can_have(shop, tmp_path, capsys):
    status, error = failure(
        capsys, "prepare", shop / "interactions.parquet", "--users", "x" * 5000, "-w", tmp_path / "w"
    )
    assert (status, error) == (1, f"Error: {'x' * 200}: File name too long\n")


def test_names_that_are_not_utf8(shop, tmp_path, capsys):
    """Told before any work, as not every library can open them."""
    odd = os.fsdecode(b"\xff")
    status, error = failure(capsys, "prepare", shop / "interactions.parquet", "-w", tmp_path / odd)
    assert (status, "the name is not UTF-8: use another --workdir" in error) == (1, True)
    for name in (f"{odd}.csv", f"{odd}.parquet"):
        shutil.copy(shop / "interactions.parquet", tmp_path / name)
        status, error = failure(capsys, "prepare", tmp_path / name, "-w", tmp_path / "work")
        assert (status, "the name is not UTF-8: rename it" in error) == (1, True)
    status, error = failure(capsys, "simulate", tmp_path / odd, "--users", 5, "--items", 10, "--interactions", 30)
    assert (status, "the name is not UTF-8: name another directory" in error) == (1, True)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("options", [("LOG",), ("LOG", "--format", "csv"), ("SHOP", "--items", "LOG")])
def test_a_pipe_is_not_waited_for(shop, tmp_path, capsys, options):
    os.mkfifo(tmp_path / "pipe")
    names = {"LOG": tmp_path / "pipe", "SHOP": shop / "interactions.parquet"}
    arguments = [names.get(option, option) for option in options]
    status, error = failure(capsys, "prepare", *arguments, "-w", tmp_path / "work")
    assert (status, "pipe is a pipe or a device, and inputs are read more than once" in error) == (1, True)
    assert not (tmp_path / "work").exists()


def test_a_work_directory_below_a_file(shop, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    status, error = failure(capsys, "prepare", shop / "interactions.parquet", "-w", tmp_path / "file" / "work")
    assert status == 1
    assert "is not a directory: use another --workdir" in error
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no space left on the device that holds {workdir}: free some and run the same command again"),
        (errno.EROFS, "cannot be read or written: change its permissions or use another --workdir"),
    ],
)
def test_a_disk_that_is_full_or_closed(workdir, monkeypatch, capsys, number, message):
    before = contents(workdir)

    def refuse(path, *_, **__):
        raise OSError(number, "refused", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        status, error = failure(capsys, "fuse", "--no-tune", "-w", workdir)
    assert status == 1
    assert message.format(workdir=workdir) in error
    assert {name: content for name, content in contents(workdir).items() if ".partial-" not in name} == before
    assert run("fuse", "--no-tune", "-w", workdir) == 0


def test_writes_that_the_system_refuses(shop, tmp_path):
    """A true refusal, and not one that a test made up: no file of this process may grow past a kilobyte."""
    command = [sys.executable, "-m", "llmi2i_cli", "prepare", shop / "interactions.parquet", "-w", tmp_path / "work"]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert "this should not happen" not in done.stderr
    assert not (tmp_path / "work/prepare/interactions.parquet").exists()
