"""The work directory: what counts as up to date, how a run is published, killed, resumed and locked."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmi2i_cli.errors import ArtifactError, InputError, UsageError, WorkdirError
from llmi2i_cli.files import atomic
from llmi2i_cli.files.atomic import write_json
from llmi2i_cli.runs import manifests
from llmi2i_cli.runs import workdir as module
from llmi2i_cli.runs.manifests import input_changes, output_changes, read_manifest, verify
from llmi2i_cli.runs.pipeline import PREPARED, STAGES, producer_of, require
from llmi2i_cli.runs.workdir import shard_label, stage_run

SECOND = 1_000_000_000


@pytest.fixture
def work(tmp_path):
    """A work directory with the inputs of `fuse`; their contents do not matter here."""
    folder = tmp_path / "work"
    for path in STAGES["fuse"].inputs_of({}):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
        os.utime(folder / path, ns=(1000 * SECOND, 1000 * SECOND))
    return folder


def fuse(workdir, options=None, *, text="fused", sweep=False, **rest):
    """A run of a stage that writes `text`; returns whether it had something to do."""
    with stage_run(workdir, "fuse", options=options or {}, **rest) as run:
        if run.up_to_date:
            return False
        run.output("interactions.parquet").write_text(text)
        if sweep:
            run.output("sweep.parquet").write_text("sweep")
        run.publish(rows={"interactions.parquet": 7}, choice="best")
    return True


def manifest_at(path):
    manifest = read_manifest(path)
    assert manifest is not None
    return manifest


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def only_fused(workdir):
    return [name for name in files(workdir) if name.startswith("fuse/")]


# --- up to date, or not ---------------------------------------------------------------------------------------------


def test_a_run_leaves_its_outputs_and_a_manifest_and_nothing_else(work):
    before = files(work)
    assert fuse(work, {"order": "rank", "file": Path("a/b")})
    assert files(work) == sorted([*before, "fuse/interactions.parquet", "fuse/manifest.json"])
    manifest = manifest_at(work / "fuse/manifest.json")
    assert manifest["stage"] == "fuse"
    assert manifest["options"] == {"order": "rank", "file": "a/b"}
    assert manifest["choice"] == "best"
    assert manifest["outputs"]["interactions.parquet"]["rows"] == 7
    assert manifest["outputs"]["interactions.parquet"]["bytes"] == len("fused")
    assert set(manifest["inputs"]) == set(STAGES["fuse"].inputs_of({}))
    assert manifest["versions"]["llmi2i"] == module.__version__
    assert not list(work.glob(".locks"))


def test_the_same_command_does_nothing_and_says_so_by_its_manifest(work):
    assert fuse(work)
    times = {path: path.stat().st_mtime_ns for path in (work / "fuse").iterdir()}
    with stage_run(work, "fuse", options={}) as run:
        assert run.up_to_date
        assert (run.manifest or {})["choice"] == "best"
    assert times == {path: path.stat().st_mtime_ns for path in (work / "fuse").iterdir()}


def test_another_option_another_input_or_force_runs_again(work):
    assert fuse(work, {"n": 1})
    assert fuse(work, {"n": 2})
    assert not fuse(work, {"n": 2})
    (work / "prepare/items.parquet").write_text("other")
    assert fuse(work, {"n": 2})
    assert not fuse(work, {"n": 2})
    assert fuse(work, {"n": 2}, force=True)
    (work / "extra").write_text("a further input")
    assert fuse(work, {"n": 2}, also_reads=["extra"])
    assert not fuse(work, {"n": 2}, also_reads=["extra"])
    assert fuse(work, {"n": 2})


def test_contents_decide_and_not_times_alone(work):
    path = work / "filter/scored.parquet"
    assert fuse(work)
    path.write_text("X" * path.stat().st_size)  # the same size, another time, another content
    assert fuse(work)
    stat = path.stat()
    path.write_text("X" * stat.st_size)  # another time alone
    os.utime(path, ns=(stat.st_mtime_ns + SECOND, stat.st_mtime_ns + SECOND))
    assert not fuse(work)


def test_another_version_of_the_program_runs_again(work, monkeypatch):
    assert fuse(work)
    monkeypatch.setattr(module, "__version__", "999")
    assert fuse(work)


@pytest.mark.parametrize("damage", ["missing", "changed size", "changed content", "no manifest", "cut manifest", "[]"])
def test_a_changed_or_missing_output_is_made_again(work, damage):
    assert fuse(work)
    output, manifest = work / "fuse/interactions.parquet", work / "fuse/manifest.json"
    if damage == "missing":
        output.unlink()
    elif damage == "changed size":
        output.write_text("longer than before")
    elif damage == "changed content":
        output.write_text("FUSED")
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "cut manifest":
        manifest.write_text(manifest.read_text()[:100])
    else:
        manifest.write_text(json.dumps({"fingerprint": "of another program"}))
    assert fuse(work)
    assert output.read_text() == "fused"
    assert output_changes(work, STAGES["fuse"], manifest_at(manifest)) is None


def test_an_output_that_was_only_touched_is_up_to_date(work):
    assert fuse(work)
    os.utime(work / "fuse/interactions.parquet")
    assert not fuse(work)


def test_what_only_the_former_run_wrote_goes(work):
    assert fuse(work, {"tune": True}, sweep=True)
    assert (work / "fuse/sweep.parquet").exists()
    assert fuse(work, {"tune": False})
    assert not (work / "fuse/sweep.parquet").exists()
    assert set(manifest_at(work / "fuse/manifest.json")["outputs"]) == {"interactions.parquet"}


def test_after_an_up_to_date_run_outputs_are_as_young_as_inputs(work):
    """As make sees it: the contents are the same, the input is younger, the stage had nothing to do."""
    assert fuse(work)
    source, target = work / "filter/scored.parquet", work / "fuse/interactions.parquet"
    for when in (target.stat().st_mtime_ns + SECOND, target.stat().st_mtime_ns + 10**6 * SECOND):  # a clock ahead, too
        os.utime(source, ns=(when, when))
        assert not fuse(work)
        assert target.stat().st_mtime_ns >= when
        manifest = manifest_at(work / "fuse/manifest.json")
        assert manifest["outputs"]["interactions.parquet"]["mtime_ns"] == target.stat().st_mtime_ns
        assert manifest["inputs"]["filter/scored.parquet"]["mtime_ns"] == when


def test_directories_as_outputs_are_published_compared_and_dated(work):
    def train(text="weights"):
        with stage_run(work, "sft-gen", options={}) as run:
            if run.up_to_date:
                return False
            run.output("model").mkdir(exist_ok=True)
            (run.output("model") / "weights").write_text(text)
            (run.output("model") / "config").write_text("config")
            run.output("log.jsonl").write_text("")
            run.publish()
        return True

    assert train()
    assert set(manifest_at(work / "sft-gen/manifest.json")["outputs"]) == {
        "log.jsonl",
        "model/config",
        "model/weights",
    }
    later = (work / "sft-gen/model").stat().st_mtime_ns + SECOND
    os.utime(work / "prepare/items.parquet", ns=(later, later))
    assert not train()
    assert (work / "sft-gen/model").stat().st_mtime_ns >= later
    assert (work / "sft-gen/model/weights").stat().st_mtime_ns >= later
    (work / "sft-gen/model/weights").write_text("WEIGHTS")
    assert train("other")
    assert (work / "sft-gen/model/weights").read_text() == "other"


def test_every_file_of_a_directory_that_is_read_counts(work, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("1")
    (base / "weights").write_text("1")
    assert fuse(work, files=[base])
    assert not fuse(work, files=[base])
    assert input_changes(manifest_at(work / "fuse/manifest.json"), work) is None
    (base / "config.json").write_text("2")  # not the last one by name
    assert input_changes(manifest_at(work / "fuse/manifest.json"), work) == f"{base}/config.json changed"
    assert fuse(work, files=[base])
    (base / "weights").unlink()
    assert input_changes(manifest_at(work / "fuse/manifest.json"), work) == f"{base}/weights is missing"
    assert fuse(work, files=[base])


def test_unchanged_inputs_are_not_read_again(work, tmp_path, monkeypatch):
    log = tmp_path / "log.csv"
    log.write_text("u,i")
    assert fuse(work, files=[log])
    monkeypatch.setattr(manifests, "file_digest", None)
    assert not fuse(work, files=[log])


def test_a_file_is_read_once_for_its_digest_until_it_changes(tmp_path):
    path = tmp_path / "file"
    path.write_text("1")
    stat, first = path.stat(), manifests.file_digest(path)
    hits = manifests._digest.cache_info().hits
    assert manifests.file_digest(path) == first
    assert manifests._digest.cache_info().hits == hits + 1
    path.write_text("2")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert manifests.file_digest(path) != first


def test_a_run_that_has_nothing_to_do_looks_at_sizes_and_times_alone(work):
    with stage_run(work / "other", "prepare", options={}) as run:
        for name in STAGES["prepare"].writes:
            run.output(name).write_text(name)
        run.publish()
    for name in (*STAGES["prepare"].writes, "manifest.json"):
        (work / "other/prepare" / name).replace(work / "prepare" / name)
    assert fuse(work)
    users = work / "prepare/users.parquet"
    stat = users.stat()
    users.write_text("rotten.parquet"[: stat.st_size].ljust(stat.st_size))
    os.utime(users, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not fuse(work)
    for again in ({"force": True}, {"options": {"other": 1}}):
        with pytest.raises(
            ArtifactError, match=r"users\.parquet is damaged or was changed after `llmi2i prepare INPUT"
        ):
            fuse(work, **again)
    assert only_fused(work) == ["fuse/interactions.parquet", "fuse/manifest.json"]


# --- missing inputs, unusable directories ---------------------------------------------------------------------------


def test_a_missing_input_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(ArtifactError) as told:
        require(tmp_path, "fuse/interactions.parquet")
    expected = f"{tmp_path}/fuse/interactions.parquet is missing: run `llmi2i fuse -w {tmp_path}` first"
    assert str(told.value) == expected


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("prepare/items.parquet", "llmi2i prepare INPUT..."),
        ("sft-gen/model/", "llmi2i sft-gen"),
        ("sft-gen/examples.jsonl", "llmi2i sft-gen --examples-only"),
        ("filter/scored-real.parquet", "llmi2i filter --include-real"),
        ("fuse/sweep.parquet", "llmi2i fuse --tune"),
        ("i2i/bpr-fused.parquet", "llmi2i train-i2i --model bpr --data fused"),
        ("i2i/youtubednn-real.vectors.npz", "llmi2i train-i2i --model youtubednn --data real"),
        ("index/swing-real.mmap", "llmi2i export-index --model swing --data real --format mmap"),
    ],
)
def test_the_table_knows_who_writes_what(path, command):
    assert producer_of(path) == command


def test_every_input_in_the_table_is_some_stages_output():
    for stage in STAGES.values():
        for variant in stage.variants:
            for path in stage.inputs_of(variant):
                writer = producer_of(path).split()[1]
                assert list(STAGES).index(writer) < list(STAGES).index(stage.name)
                assert STAGES[writer].folder == path.split("/")[0]


def test_a_missing_file_of_the_user_and_nothing_made_for_it(tmp_path):
    with (
        pytest.raises(InputError, match=r"gone\.csv: no such file"),
        stage_run(tmp_path / "new", "prepare", options={}, files=[tmp_path / "gone.csv"]),
    ):
        raise AssertionError("not reached")
    assert not (tmp_path / "new").exists()


def test_a_mistake_found_before_any_work_leaves_no_trace(tmp_path):
    with pytest.raises(InputError), stage_run(tmp_path / "new/work", "prepare", options={}):
        raise InputError("bad line")
    assert not (tmp_path / "new/work").exists()


def test_a_mistake_found_later_keeps_the_work(work):
    with pytest.raises(ArtifactError), stage_run(work, "fuse", options={}) as run:
        run.output("points.jsonl").write_text("one")
        raise ArtifactError("bad")
    with stage_run(work, "fuse", options={}) as again:
        assert again.output("points.jsonl").read_text() == "one"
    with stage_run(work, "fuse", options={"other": 1}) as other:
        assert not other.output("points.jsonl").exists()


def test_what_cannot_go_on_leaves_nothing(work):
    for error in (ArtifactError, KeyboardInterrupt):
        with pytest.raises(error), stage_run(work, "fuse", options={}, resumable=False) as run:
            run.output("interactions.parquet").write_text("half")
            raise error("stop")
        assert not run.partial.exists()
    run.partial.mkdir(parents=True)
    run.output("sweep.parquet").write_text("of a killed run")
    with stage_run(work, "fuse", options={}, resumable=False) as again:
        assert list(again.partial.iterdir()) == []
    assert fuse(work)
    with pytest.raises(KeyboardInterrupt), stage_run(work, "fuse", options={}, resumable=False) as current:
        assert current.up_to_date
        raise KeyboardInterrupt
    assert (work / "fuse/interactions.parquet").exists()


@pytest.mark.parametrize("where", ["", "prepare"])
def test_a_file_in_the_way(tmp_path, where):
    blocked = tmp_path / "work" / where
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("")
    with (
        pytest.raises(WorkdirError, match="is not a directory: use another --workdir"),
        stage_run(tmp_path / "work", "prepare", options={}),
    ):
        raise AssertionError("not reached")
    assert blocked.read_text() == ""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the device that holds"),
        (OSError("underlying IO error: No space left on device (os error 28)"), "no space left on the device that"),
        (OSError(errno.EACCES, "Permission denied", "there/x"), "there/x cannot be read or written: change its perm"),
        (OSError(errno.EROFS, "Read-only file system", "there/x"), "there/x cannot be read or written"),
        (OSError(errno.EIO, "Input/output error", "there/x"), "there/x: Input/output error; the work done so far is"),
    ],
)
def test_the_disk_says_no(work, error, message):
    with pytest.raises(WorkdirError, match=message) as told, stage_run(work, "fuse", options={}):
        raise error
    assert "\n" not in str(told.value)
    assert only_fused(work) == []


def test_an_input_that_may_not_be_read(work, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(manifests, "file_digest", refuse)
    with pytest.raises(WorkdirError, match="cannot be read or written"), stage_run(work, "fuse", options={}):
        raise AssertionError("not reached")


def test_what_is_up_to_date_can_be_had_where_nothing_can_be_written(work, monkeypatch):
    assert fuse(work)
    later = (work / "fuse/interactions.parquet").stat().st_mtime_ns + SECOND
    os.utime(work / "filter/scored.parquet", ns=(later, later))

    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for change in ("mkdir", "touch", "write_text", "replace", "unlink"):
        monkeypatch.setattr(Path, change, refuse)
    with stage_run(work, "fuse", options={}) as run:
        assert run.up_to_date
        assert (run.manifest or {})["choice"] == "best"
    for asked in ({"options": {"n": 2}}, {"options": {}, "force": True}):
        with pytest.raises(WorkdirError, match="cannot be read or written"), stage_run(work, "fuse", **asked):
            raise AssertionError("not reached")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_an_output_is_for_the_umask_to_say(work, umask, mode):
    former = os.umask(umask)
    try:
        with stage_run(work, "sft-gen", options={}) as run:
            weights = run.output("model/weights")
            weights.parent.mkdir()
            weights.touch(0o600)
            run.publish()
    finally:
        os.umask(former)
    assert (work / "sft-gen/model/weights").stat().st_mode & 0o777 == mode


# --- kills ----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: nothing that handles errors may handle it."""


def interrupt_at(monkeypatch, step):
    """Let the process die before its `step`-th change of a directory in `publish`."""
    count = 0

    def dying(original):
        def call(*arguments, **rest):
            nonlocal count
            if sys._getframe(1).f_code.co_name in ("_install", "_sweep", "put_in_place"):
                count += 1
                if count == step:
                    raise Killed
            return original(*arguments, **rest)

        return call

    monkeypatch.setattr(Path, "replace", dying(Path.replace))
    monkeypatch.setattr(Path, "unlink", dying(Path.unlink))
    monkeypatch.setattr(module.shutil, "rmtree", dying(module.shutil.rmtree))
    monkeypatch.setattr(atomic, "_exchange", dying(atomic._exchange))
    return lambda: count


@pytest.mark.parametrize("step", range(1, 8))
def test_a_publication_that_was_killed_is_completed_without_working_again(work, step):
    assert fuse(work, {"n": 1}, text="old", sweep=True)
    with pytest.MonkeyPatch.context() as patch:
        reached = interrupt_at(patch, step)
        with contextlib.suppress(Killed):
            fuse(work, {"n": 2}, text="new", sweep=True)
        died = reached() == step
    assert died == (step <= 6), "the steps of a publication: two tables, two pictures out, manifest, leftovers"
    with stage_run(work, "fuse", options={"n": 2}) as run:
        assert run.up_to_date
    assert only_fused(work) == ["fuse/interactions.parquet", "fuse/manifest.json", "fuse/sweep.parquet"]
    assert (work / "fuse/interactions.parquet").read_text() == "new"
    assert not list((work / "fuse").glob(".partial-*"))


def train(workdir, text):
    """A run of a stage with a directory among its outputs; returns whether it had something to do."""
    with stage_run(workdir, "sft-gen", options={"text": text}) as run:
        if run.up_to_date:
            return False
        for path in (run.output("model/weights"), run.output("log.jsonl")):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        run.publish()
    return True


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("step", range(1, 8))
def test_a_directory_whose_publication_was_killed_is_the_new_one(work, step, can_exchange):
    assert train(work, "old")
    with pytest.MonkeyPatch.context() as patch:
        if not can_exchange:
            patch.setattr(atomic, "_exchange", lambda one, other: False)
        reached = interrupt_at(patch, step)
        with contextlib.suppress(Killed):
            train(work, "new")
        died = reached() == step
    steps = "model, log, manifest, leftovers" if can_exchange else "old out, new in, old kept, log, manifest, leftovers"
    assert died == (step <= (4 if can_exchange else 7))
    assert not train(work, "new"), steps
    assert (work / "sft-gen/model/weights").read_text() == (work / "sft-gen/log.jsonl").read_text() == "new"
    assert not list((work / "sft-gen").glob(".partial-*"))


def test_what_a_publication_has_replaced_in_part_is_not_read(work):
    """The former manifest vouches for what is still of the former run, and for nothing else."""
    assert train(work, "old")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 2)
        with pytest.raises(Killed):
            train(work, "new")
    with pytest.raises(ArtifactError, match=r"model/weights is damaged or was changed after `llmi2i sft-gen` wrote it"):
        verify(work, "sft-gen/model/")
    verify(work, "sft-gen/log.jsonl")
    assert not train(work, "new")
    verify(work, "sft-gen/model/", "sft-gen/log.jsonl")


def test_after_a_killed_publication_another_run_wins(work):
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 2)
        with pytest.raises(Killed):
            fuse(work, {"n": 1}, text="first", sweep=True)
    assert fuse(work, {"n": 2}, text="second")
    assert only_fused(work) == ["fuse/interactions.parquet", "fuse/manifest.json"]
    assert (work / "fuse/interactions.parquet").read_text() == "second"
    assert not list((work / "fuse").glob(".partial-*"))


def test_publishing_sweeps_its_own_partial_work_and_no_other_stages(work):
    with pytest.raises(KeyboardInterrupt), stage_run(work, "sft-gen", options={"n": 1}):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), stage_run(work, "sft-gen --examples-only", options={}) as examples:
        raise KeyboardInterrupt
    with stage_run(work, "sft-gen", options={"n": 2}) as run:
        run.output("log.jsonl").write_text("")
        run.publish()
    assert list((work / "sft-gen").glob(".partial-*")) == [examples.partial]


# --- locks ----------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from llmi2i_cli.runs.workdir import stage_run
with stage_run(Path(sys.argv[1]), "fuse", options={}):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_in_one_line_and_a_killed_one_frees_the_stage(work):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(work)], stdin=-1, stdout=-1, text=True)
    assert holder.stdin
    assert holder.stdout
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WorkdirError) as told, stage_run(work, "fuse", options={"other": 1}):
            raise AssertionError("not reached")
        expected = f"another process (pid {holder.pid}) is running `llmi2i fuse` in {work}"
        assert str(told.value) == f"{expected}: wait for it, or use another --workdir"
        with stage_run(work, "fuse", options={}, shard="1-of-2"), stage_run(work, "sft-gen", options={}):
            pass  # a shard has a lock of its own, and so has another stage
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    assert fuse(work)


def test_a_run_whose_lock_was_taken_over_publishes_nothing(work):
    with (
        pytest.raises(WorkdirError, match="is no longer this process's lock"),
        stage_run(work, "fuse", options={}) as run,
    ):
        run.output("interactions.parquet").write_text("late")
        (work / ".locks/fuse.lock").unlink()
        run.publish()
    assert only_fused(work) == [f"fuse/{run.partial.name}/interactions.parquet"]


def test_shards_are_numbered_from_one():
    assert shard_label(1, 1) == ""
    assert shard_label(8, 2) == "2-of-8"
    for shard in (0, 9):
        with pytest.raises(UsageError, match=f"--shard {shard} is not one of the 8 shards"):
            shard_label(8, shard)


def test_a_shard_that_waited_for_another_to_publish_finds_its_result(work):
    with (
        stage_run(work, "fuse", options={}, shard="1-of-2") as one,
        stage_run(work, "fuse", options={}, shard="2-of-2") as two,
    ):
        with two.publishing() as published:
            assert published is None
        one.output("interactions.parquet").write_text("all")
        one.publish()
        with two.publishing() as published:
            assert published == one.manifest == manifest_at(work / "fuse/manifest.json")


def test_json_is_replaced_whole(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": "é"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "é"}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "é"}
    assert files(tmp_path) == ["x.json"]


def test_a_stage_reads_only_what_its_variant_needs():
    evaluate = STAGES["evaluate"]
    prepared = [read.path for read in PREPARED]
    generator = {"model": "generator", "data": "real", "split": "test"}
    assert evaluate.inputs_of(generator) == [*prepared, "sft-gen/model/"]
    assert evaluate.inputs_of({**generator, "model": "bpr"}) == [*prepared, "i2i/bpr-real.parquet"]
    assert STAGES["train-i2i"].inputs_of({"model": "bpr", "data": "real"}) == prepared
    assert evaluate.manifest_name(generator) == "generator-real-test.manifest.json"
    assert STAGES["fuse"].manifest_name({}) == "manifest.json"
