"""`prepare --append`: the result is that of one run with all files; those of earlier runs are not read again."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest

from llmi2i_cli.data import buckets, interactions
from llmi2i_cli.runs.workdir import StageRun, stage_run
from tests.conftest import run

TABLES = ("interactions.parquet", "items.parquet", "users.parquet")
OPTIONS = ("--min-item-users", 2, "--max-user-items", 12, "--tail-fraction", 0.3)


@pytest.fixture(scope="module")
def days(shop, tmp_path_factory):
    """The shop's log in four parts, by time; the second repeats a row of the first, and a row comes late."""
    folder = tmp_path_factory.mktemp("days")
    log = pl.read_parquet(shop / "interactions.parquet").sort("timestamp")
    parts = [log.slice(0, 1200), log.slice(1199, 101), log.slice(1300, 100), log.slice(1400)]
    parts[3] = pl.concat([parts[3], log.slice(5, 1).with_columns(item_id=pl.lit(parts[0]["item_id"][9]))])
    for number, part in enumerate(parts):
        part.write_csv(folder / f"{number}.csv")
    return [folder / f"{number}.csv" for number in range(4)]


def tables(workdir):
    return {name: (workdir / "prepare" / name).read_bytes() for name in TABLES}


def manifest(workdir):
    return json.loads((workdir / "prepare/manifest.json").read_text())


def files_read(monkeypatch):
    read = []
    chunks = interactions.LogReader.chunks

    def recorded(self, path, *rest):
        read.append(path.name)
        return chunks(self, path, *rest)

    monkeypatch.setattr(interactions.LogReader, "chunks", recorded)
    return read


def test_day_after_day_it_is_as_if_all_had_been_read_at_once(days, shop, tmp_path, monkeypatch):
    given = (*OPTIONS, "--items", shop / "items.parquet")
    assert run("prepare", *days[:1], *given, "-w", tmp_path / "work", "--append") == 0
    read = files_read(monkeypatch)
    for number in (2, 3, 4):
        assert run("prepare", "--append", days[number - 1], "-w", tmp_path / "work") == 0
        assert read == [f"{number - 1}.csv"]
        read.clear()
        assert run("prepare", *days[:number], *given, "-w", tmp_path / "whole") == 0
        read.clear()
        assert tables(tmp_path / "work") == tables(tmp_path / "whole")
    about = manifest(tmp_path / "work")
    whole = manifest(tmp_path / "whole")
    for key in ("options", "summary", "fingerprint"):
        assert about[key] == whole[key]
    assert [name for name in about["outputs"] if name.startswith("log/")] == [
        "log/00000-clean.parquet",
        "log/cuts.json",
    ]
    rows = pl.read_parquet(tmp_path / "work/prepare/log/00000-clean.parquet")
    assert len(rows) == len(pl.concat([pl.read_csv(day) for day in days]).unique())


def test_more_buckets_than_before(days, tmp_path, monkeypatch):
    """What a growing log is cut into changes; users are then in another order, as they are in a run from scratch."""
    monkeypatch.setattr("llmi2i_cli.stages.prepare.n_buckets_for", lambda paths, size: len(list(paths)))
    assert run("prepare", *days[:2], "-w", tmp_path / "work", "--append") == 0
    assert run("prepare", "--append", *days[2:], "-w", tmp_path / "work") == 0
    assert run("prepare", *days, "-w", tmp_path / "whole") == 0
    assert tables(tmp_path / "work") == tables(tmp_path / "whole")


def test_logs_without_times(tmp_path):
    (tmp_path / "a.txt").write_text("u1 a b c a\nu2 b c d\n")
    (tmp_path / "b.txt").write_text("u2 a a\nu3 d a b\nu1 d\n")
    for files, how in (("a", ()), ("b", ("--append",))):
        assert run("prepare", tmp_path / f"{files}.txt", "-w", tmp_path / "work", *how) == 0
    assert run("prepare", tmp_path / "a.txt", tmp_path / "b.txt", "-w", tmp_path / "whole") == 0
    assert tables(tmp_path / "work") == tables(tmp_path / "whole")


def test_what_was_appended_is_not_appended_twice(days, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "logs"
    folder.mkdir()
    shutil.copy(days[0], folder)
    assert run("prepare", "--append", folder, "-w", tmp_path / "work") == 0
    read = files_read(monkeypatch)
    assert run("prepare", "--append", folder, "-w", tmp_path / "work") == 0
    assert "prepare: up to date" in capsys.readouterr().err
    shutil.copy(days[1], folder)
    assert run("prepare", "--append", folder, "-w", tmp_path / "work") == 0
    assert read == ["1.csv"]
    assert run("prepare", folder, "-w", tmp_path / "work") == 0  # the same files: there is nothing to do
    assert read == ["1.csv"]


@pytest.mark.parametrize("how", ["changed-file", "changed-log", "no-log", "other-version"])
def test_where_the_kept_log_is_of_no_use_all_is_read_again(days, tmp_path, monkeypatch, capsys, how):
    old = tmp_path / "0.csv"
    shutil.copy(days[0], old)
    first = () if how == "no-log" else ("--append",)
    assert run("prepare", old, "-w", tmp_path / "work", *first) == 0
    if how == "changed-file":
        shutil.copy(days[2], old)
        why = f"{old} changed since"
    elif how == "changed-log":
        kept = tmp_path / "work/prepare/log/00000-clean.parquet"
        content = kept.read_bytes()
        kept.write_bytes(content[:-9] + b"x" + content[-8:])
        why = f"{kept} is missing or was changed"
    elif how == "other-version":
        about = manifest(tmp_path / "work")
        about["versions"]["llmi2i"] = "0.0.1"
        (tmp_path / "work/prepare/manifest.json").write_text(json.dumps(about))
        why = "the last run was by llmi2i 0.0.1"
    else:
        why = "the last run was without --append"
    read = files_read(monkeypatch)
    capsys.readouterr()
    assert run("prepare", "--append", days[1], "-w", tmp_path / "work") == 0
    assert read == ["0.csv", "1.csv"]
    assert capsys.readouterr().err == f"all files are read again: {why}\n"
    assert run("prepare", old, days[1], "-w", tmp_path / "whole") == 0
    assert tables(tmp_path / "work") == tables(tmp_path / "whole")


@pytest.mark.parametrize(
    ("of_last_run", "given", "left_out"),
    [
        ((), ("--split", "last-day"), "--split last-day"),
        (("--max-user-items", 5), ("--tail-fraction", 0.2, "--max-user-items", 1000), "--max-user-items 1000"),
    ],
)
def test_other_options_are_refused_be_they_the_defaults(days, tmp_path, capsys, of_last_run, given, left_out):
    work = ("-w", tmp_path / "work")
    assert run("prepare", days[0], *of_last_run, *work) == 0
    before = tables(tmp_path / "work")
    capsys.readouterr()
    assert run("prepare", "--append", days[1], *given, *work) == 2
    told = f"Error: --append goes on with the options of the last run: leave out {left_out}\n"
    assert capsys.readouterr().err == told
    assert tables(tmp_path / "work") == before
    assert run("prepare", "--append", days[1], *of_last_run, *work) == 0  # what was asked for may be said again


def test_other_logs_are_refused(days, tmp_path, capsys):
    (tmp_path / "b.txt").write_text("u2 a a\n")
    assert run("prepare", days[0], "-w", tmp_path / "work") == 0
    before = tables(tmp_path / "work")
    assert run("prepare", "--append", tmp_path / "b.txt", "-w", tmp_path / "work") == 2
    assert "have to agree in whether they have times" in capsys.readouterr().err
    assert run("prepare", "--append", days[1], "--test", days[2], "-w", tmp_path / "work") == 2
    assert "--append has no files for --valid and --test: run prepare with all files" in capsys.readouterr().err
    assert tables(tmp_path / "work") == before
    assert run("prepare", days[0], "--test", days[1], "-w", tmp_path / "held-out") == 0
    assert run("prepare", "--append", days[2], "-w", tmp_path / "held-out") == 2
    assert "--append has no files for --valid and --test, and the last run had" in capsys.readouterr().err


def test_the_format_of_the_last_run_holds(tmp_path):
    """Neither the names nor the first lines tell what these files are."""
    for number in (0, 1):
        rows = "".join(f"u{k % 3},i{k % 4},{10 * number + k}\n" for k in range(10))
        (tmp_path / f"{number}.dat").write_text(f"u,i,t\n{rows}")
    days = [tmp_path / "0.dat", tmp_path / "1.dat"]
    options = ("--format", "csv", "--user-column", "u", "--item-column", "i", "--time-column", "t")
    assert run("prepare", days[0], *options[2:], "-w", tmp_path / "work", "--append") == 1
    assert run("prepare", days[0], *options, "-w", tmp_path / "work", "--append") == 0
    assert run("prepare", days[1], "-w", tmp_path / "work", "--append") == 0
    assert run("prepare", *days, *options, "-w", tmp_path / "whole") == 0
    assert tables(tmp_path / "work") == tables(tmp_path / "whole")


@pytest.mark.parametrize("harm", ["cut", "removed"])
def test_where_nothing_tells_what_the_last_run_has_read_nothing_is_dropped(days, tmp_path, capsys, harm):
    assert run("prepare", "--append", days[0], "-w", tmp_path / "work") == 0
    before, path = tables(tmp_path / "work"), tmp_path / "work/prepare/manifest.json"
    if harm == "removed":
        path.unlink()
        why = f"{path.parent} has tables, but no manifest.json tells of which files"
    else:
        path.write_text(path.read_text()[:400])
        why = f"{path} is damaged and no longer tells what was prepared"
    capsys.readouterr()
    assert run("prepare", "--append", days[1], "-w", tmp_path / "work") == 1
    assert capsys.readouterr().err == f"Error: {why}: run prepare with all files, without --append\n"
    assert tables(tmp_path / "work") == before
    assert run("prepare", *days[:2], "-w", tmp_path / "work") == 0  # that is what helps
    assert manifest(tmp_path / "work")["options"]["logs"] == [[str(day), "csv"] for day in days[:2]]


@pytest.mark.parametrize("before", [0, 1])
def test_what_another_process_appends_meanwhile_is_not_lost(days, tmp_path, monkeypatch, capsys, before):
    """The last run is looked at before the lock is held: digesting the files of a large log takes minutes."""
    work = ("-w", tmp_path / "work")
    if before:
        assert run("prepare", "--append", days[0], *work) == 0

    def after_another(*arguments, **more):
        monkeypatch.undo()
        assert run("prepare", "--append", days[1], *work) == 0
        return stage_run(*arguments, **more)

    monkeypatch.setattr("llmi2i_cli.stages.prepare.stage_run", after_another)
    assert run("prepare", "--append", days[2], *work) == 1
    folder = tmp_path / "work/prepare"
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"Error: {folder} was written by another process meanwhile: run the same command again"
    )
    assert sorted(path.name for path in folder.iterdir()) == sorted([*TABLES, "log", "manifest.json"])
    assert run("prepare", "--append", days[2], *work) == 0
    assert run("prepare", *days[1 - before : 3], "-w", tmp_path / "whole") == 0
    assert tables(tmp_path / "work") == tables(tmp_path / "whole")


def test_a_file_of_the_last_run_that_is_gone_is_named(days, tmp_path, capsys):
    first = shutil.copy(days[0], tmp_path / "first.csv")
    assert run("prepare", first, "--append", "-w", tmp_path / "work") == 0
    first.unlink()
    before = tables(tmp_path / "work")
    capsys.readouterr()
    assert run("prepare", "--append", days[1], "-w", tmp_path / "work") == 1
    told = f"Error: {first}: no such file, and the last run has read it: put it back, or run without --append\n"
    assert capsys.readouterr().err == told
    assert tables(tmp_path / "work") == before


@pytest.mark.parametrize("where", ["cutting", "cleaning", "publishing"])
def test_interrupted_and_begun_again_it_leaves_the_same(days, tmp_path, monkeypatch, where):
    monkeypatch.setattr("llmi2i_cli.stages.prepare.n_buckets_for", lambda paths, size: 3)
    assert run("prepare", "--append", *days[:3], "-w", tmp_path / "work") == 0
    before = tables(tmp_path / "work")
    with monkeypatch.context() as patch:
        calls = []

        def stop(*arguments, **more):
            calls.append(arguments)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return original(*arguments, **more)

        if where == "publishing":
            patch.setattr(StageRun, "publish", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        else:
            name = {
                "cutting": "llmi2i_cli.data.buckets.write_table",
                "cleaning": "llmi2i_cli.data.bucketed_log.write_table",
            }
            original = buckets.write_table
            patch.setattr(name[where], stop)
        assert run("prepare", "--append", days[3], "-w", tmp_path / "work") == 130
    assert tables(tmp_path / "work") == before
    assert run("prepare", "--append", days[3], "-w", tmp_path / "work") == 0
    assert run("prepare", *days, "-w", tmp_path / "whole") == 0
    assert tables(tmp_path / "work") == tables(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "work/prepare").iterdir()) == sorted(
        [*TABLES, "log", "manifest.json"]
    )
