"""What surrounds the program: streams that are closed or full, encodings, variables and numbers that make no sense."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import run


def program(*arguments, redirect="", **variables):
    """Exit status, stdout and stderr of the program, with a shell's redirection of its streams."""
    command = ["sh", "-c", f'"$@" {redirect}', "sh", sys.executable, "-m", "llmi2i_cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | variables)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("redirect", "reason"), [(">/dev/full", "No space left on device"), ("1</dev/null", "Bad file descriptor")]
)
def test_results_that_cannot_be_written_are_told(tmp_path, redirect, reason):
    for arguments in (["status", "-w", tmp_path], ["status", "-w", tmp_path, "--json"], ["--version"], ["--help"]):
        expected = (1, "", f"Error: the results cannot be written to stdout: {reason}\n")
        assert program(*arguments, redirect=redirect) == expected


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "2</dev/null"])
def test_messages_that_nobody_can_read_stop_nothing(prepared, tmp_path, redirect):
    log = prepared / "prepare/interactions.parquet"
    for _ in range(2):  # the second has nothing to do, and says so
        status, out, err = program("prepare", log, "-w", tmp_path / "work", "--json", redirect=redirect)
        assert (status, err) == (0, "")
        assert json.loads(out)["users"] > 0


def test_results_for_a_closed_stdout_go_nowhere(tmp_path):
    assert program("status", "-w", tmp_path, redirect=">&-") == (0, "", "")


def test_characters_that_an_encoding_lacks_are_written_by_number(tmp_path):
    for workdir in (tmp_path / "é", tmp_path / os.fsdecode(b"\xff")):
        status, _, err = program("status", "-w", workdir, PYTHONIOENCODING="ascii")
        assert (status, err) == (0, "")
    (tmp_path / "prepare").mkdir()
    (tmp_path / "é").symlink_to(tmp_path)
    (tmp_path / "prepare/manifest.json").write_text("{")
    status, out, _ = program("status", "-w", tmp_path / "é", "--json", PYTHONIOENCODING="ascii")
    assert (status, json.loads(out)[0]["why"]) == (0, f"{tmp_path}/é/prepare/manifest.json cannot be read")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"LOCAL_RANK": "0", "RANK": "abc"},
            "the environment variable RANK is 'abc', where a launcher writes a number",
        ),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "-1"}, "the environment variable WORLD_SIZE is '-1', where a launcher"),
        ({"POLARS_MAX_THREADS": "0"}, "the environment variable POLARS_MAX_THREADS is '0', and threads are 1 to 4,096"),
        ({"NUMBA_NUM_THREADS": "1000000"}, "the environment variable NUMBA_NUM_THREADS is '1000000', and threads"),
        ({"NUMBA_NUM_THREADS": ""}, "the environment variable NUMBA_NUM_THREADS is '', and threads are 1 to 4,096"),
        ({"OMP_NUM_THREADS": "abc"}, "the environment variable OMP_NUM_THREADS is 'abc', and threads are 1 to 4,096"),
    ],
)
def test_variables_that_make_no_sense_are_named(tmp_path, monkeypatch, capsys, variables, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "log.txt").write_text("u a b c\n")
    assert run("prepare", tmp_path / "log.txt", "-w", tmp_path / "work") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"Error: {message}")


class PanicException(BaseException):
    """As PyO3 raises it for a panic in Rust."""


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (
            PanicException("index out of bounds"),
            1,
            "Error: PanicException: index out of bounds (this should not happen",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_is_no_exception_is_no_traceback(tmp_path, monkeypatch, capsys, error, status, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("llmi2i_cli.stages.status.status", fail)
    assert run("status", "-w", tmp_path) == status
    err = capsys.readouterr().err
    assert err.startswith(message)
    assert err.count("\n") == bool(message)


def test_an_interruption_while_modules_are_imported_is_no_traceback(monkeypatch):
    class Interrupting:
        def find_spec(self, name, path=None, target=None):
            if name == "llmi2i_cli.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "llmi2i_cli.cli.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    assert run("--version") == 130


BEYOND = 99999999999999999999
LARGEST = sys.maxsize


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sft-gen", "--epochs", "inf"], "Invalid value for '--epochs': inf is not a finite number"),
        (["sft-gen", "--epochs", "nan"], "Invalid value for '--epochs': nan is not a finite number"),
        (["sft-disc", "--batch-size", BEYOND], f"Invalid value for '--batch-size': {BEYOND} is too large a number"),
        (
            ["train-i2i", "--model", "bpr", "--regularization", "1e999"],
            "inf is not a finite number",
        ),
        (["train-i2i", "--model", "bpr", "--factors", LARGEST], "Invalid value for '--factors'"),
        (["train-i2i", "--seed", BEYOND], "Invalid value for '--seed'"),
        (["evaluate", "--k", 5, "--k", BEYOND], f"Invalid value for '--k': {BEYOND} is too large a number"),
    ],
)
def test_numbers_that_no_array_can_have_are_refused(tmp_path, capsys, arguments, message):
    assert run(*arguments, "-w", tmp_path) == 2
    assert message in capsys.readouterr().err


def test_more_than_there_is_means_all(pipeline, tmp_path):
    shutil.copytree(pipeline, tmp_path / "work")
    evaluated = ("evaluate", "--model", "swing", "-w", tmp_path / "work")
    assert run("train-i2i", "--top-k", LARGEST, "-w", tmp_path / "work") == 0
    assert run(*evaluated, "--k", LARGEST, "--k", 10, "--recent", BEYOND) == 0
    figures = json.loads((tmp_path / "work/evaluate/swing-real-test.json").read_text())["metrics"]["all"]
    assert run(*evaluated, "--k", 60, "--k", 10, "--recent", 10_000) == 0
    small = json.loads((tmp_path / "work/evaluate/swing-real-test.json").read_text())["metrics"]["all"]
    for name in ("recall", "ndcg"):
        assert figures[f"{name}@{LARGEST}"] == small[f"{name}@60"]
        assert figures[f"{name}@10"] == small[f"{name}@10"]


def test_a_model_that_breaks_down_says_which_options_to_lower(pipeline, tmp_path, capsys):
    shutil.copytree(pipeline, tmp_path / "work")
    capsys.readouterr()
    assert run("train-i2i", "--model", "bpr", "--regularization", 1e300, "-w", tmp_path / "work") == 1
    assert capsys.readouterr().err == "Error: BPR broke down: lower --learning-rate or --regularization\n"
