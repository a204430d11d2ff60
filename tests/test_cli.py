"""The contract of the command line: help, exit statuses, what goes to stdout and what to stderr."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from rich.text import Text
from typer.main import get_command

from llmi2i_cli import __main__ as program
from llmi2i_cli import __version__
from llmi2i_cli.cli.app import app
from llmi2i_cli.cli.printing import print_table
from llmi2i_cli.errors import WorkdirError
from llmi2i_cli.runs.pipeline import STAGES
from tests.conftest import run

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
JSON_COMMANDS = sorted(
    name for name, command in COMMANDS.items() if "--json" in {o for p in command.params for o in p.opts}
)


def error_of(capsys, *arguments):
    """Exit status and the one line of an error; nothing may be on stdout."""
    capsys.readouterr()
    status = run(*arguments)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("Error: ")
    assert output.err.count("\n") == 1
    return status, output.err


# --- help -----------------------------------------------------------------------------------------------------------


def test_commands_come_in_the_pipelines_order_then_the_others():
    stages = [name for name, stage in STAGES.items() if not stage.optional]
    assert list(COMMANDS) == [*stages, "refit", "report", "simulate", "recommend", "compare", "status"]


def test_the_programs_help_lists_every_command(capsys):
    assert run("--help") == 0
    shown = capsys.readouterr().out
    places = [re.search(rf"^\W*{re.escape(name)}\s", shown, re.MULTILINE) for name in COMMANDS]
    starts = [place.start() for place in places if place]
    assert len(starts) == len(COMMANDS)
    assert starts == sorted(starts)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_an_example_that_parses(name, capsys):
    assert run(name, "--help") == 0
    assert "Example: llmi2i" in capsys.readouterr().out
    lines = (COMMANDS[name].help or "").splitlines()
    assert lines[-1].startswith("Example: ")
    program_name, command, *arguments = shlex.split(lines[-1].removeprefix("Example: "))
    assert (program_name, command) == ("llmi2i", name)
    COMMANDS[name].make_context(name, arguments)  # raises for what is no argument or option of the command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_has_help(name):
    without = [param.name for param in COMMANDS[name].params if not getattr(param, "help", None)]
    assert without == []


@pytest.mark.parametrize("name", COMMANDS)
def test_no_help_is_taken_for_markup(name):
    texts = [str(param.help) for param in COMMANDS[name].params]
    assert [Text.from_markup(text).plain for text in texts] == texts


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("simulate", "compare")])
def test_every_stage_takes_the_work_directory_from_option_and_environment(name):
    [workdir] = [param for param in COMMANDS[name].params if param.name == "workdir"]
    assert set(workdir.opts) == {"--workdir", "-w"}
    assert workdir.envvar == "LLMI2I_WORKDIR"
    assert str(workdir.default) == "work"


def test_the_environment_names_the_work_directory(prepared, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LLMI2I_WORKDIR", str(prepared))
    capsys.readouterr()
    assert run("status", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "done"
    assert run("status", "--json", "-w", tmp_path) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "missing"


# --- exit statuses and errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["synthesize", "--nonsense"], "No such option: --nonsense"),
        (["synthesize", "--recall-number", "many"], "'--recall-number'"),
        (["synthesize", "--recall-number", "0"], "'--recall-number'"),
        (["synthesize", "--recall-number"], "recall-number"),
        (["prepare"], "INPUT"),
        (["train-i2i", "--model", "svd"], "'--model'"),
        (["evaluate", "--recent", "0"], "--recent is a whole number from 1, or auto, not '0'"),
        (["evaluate", "--recent", "-3"], "--recent is a whole number from 1, or auto, not '-3'"),
        (["export-index", "--format", "csv"], "'--format'"),
        (["recommend", "--item", "a", "b"], "--item stands alone"),
        (["simulate", "out", "--users", "0"], "'--users'"),
        (["status", "extra"], "extra"),
        (["status", "-w", __file__], "is a file"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, error = error_of(capsys, *arguments)
    assert status == 2
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_no_command_shows_the_help(capsys):
    assert run() == 2
    output = capsys.readouterr()
    assert "Usage: llmi2i" in output.out
    assert "Error" not in output.err


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"llmi2i {__version__}\n"


def fail_with(monkeypatch, error):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr("llmi2i_cli.stages.status.status", failing)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (WorkdirError("a\n  b"), 1, "Error: a b\n"),
        (ValueError("odd"), 1, "Error: ValueError: odd (this should not happen; --debug shows where)\n"),
        (MemoryError(), 1, "Error: out of memory: see the stage's --help for options that lower its use\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_goes_wrong_becomes_one_line_and_a_status(capsys, monkeypatch, error, status, line):
    fail_with(monkeypatch, error)
    assert run("status") == status
    output = capsys.readouterr()
    assert (output.out, output.err.strip("\n")) == ("", line.strip("\n"))


@pytest.mark.parametrize("arguments", [["--debug", "status"], ["status", "--debug"]])
def test_debug_shows_the_traceback(monkeypatch, arguments):
    fail_with(monkeypatch, WorkdirError("x"))
    with pytest.raises(WorkdirError):
        run(*arguments)


# --- stdout and stderr ----------------------------------------------------------------------------------------------


def json_calls(pipeline):
    """A call of each command that prints, on results that are up to date."""
    from tests.conftest import TINY_STAGES

    calls = {stage: [stage, *options, "-w", pipeline] for stage, *options in reversed(TINY_STAGES)}
    item = json.loads((pipeline / "index/swing-fused.jsonl").read_text().splitlines()[0])["item_id"]
    return {**calls, "recommend": ["recommend", "--item", item, "-w", pipeline], "status": ["status", "-w", pipeline]}


def test_json_is_one_document_and_alone_on_stdout(pipeline, shop, tmp_path, capsys):
    work = tmp_path / "work"
    shutil.copytree(pipeline, work)
    calls = json_calls(work)
    calls["prepare"] = ["prepare", shop / "interactions.parquet", "--items", shop / "items.parquet", "-w", work]
    calls["simulate"] = ["simulate", tmp_path / "shop", "--users", 20, "--items", 10, "--interactions", 60]
    calls["compare"] = ["compare", work, work]
    calls["recommend"] = [*calls["recommend"][:-1], work, "--data", "fused"]
    shutil.copytree(pipeline / "prepare", tmp_path / "chosen/prepare")
    assert run("train-i2i", "-w", tmp_path / "chosen") == 0
    calls["refit"] = ["refit", "-w", tmp_path / "chosen", "--to", tmp_path / "serve"]
    calls["report"] = ["report", "-w", work]
    assert sorted(calls) == JSON_COMMANDS == sorted(COMMANDS)
    for call in calls.values():
        capsys.readouterr()
        assert run(*call, "--json") == 0
        output = capsys.readouterr()
        json.loads(output.out)
        assert output.out.count("\n") == 1
        assert "\x1b" not in output.out + output.err


def test_a_shard_that_is_not_the_last_has_no_result_to_show(monkeypatch, capsys):
    monkeypatch.setattr("llmi2i_cli.stages.synthesize.synthesize", lambda *_, **__: None)
    for options, shown in (((), ""), (("--json",), "null\n")):
        assert run("synthesize", "--shards", 2, *options) == 0
        assert capsys.readouterr().out == shown


def test_without_a_terminal_there_are_no_colours_and_no_bars(pipeline, tmp_path):
    """Also under NO_COLOR on what pretends to be a terminal, nothing is coloured; and a bar needs a real one."""
    shutil.copytree(pipeline, tmp_path / "work")
    environment = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "llmi2i_cli", "fuse", "--no-tune", "-w", str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    assert "synthetic" in done.stdout
    assert "\x1b" not in done.stdout


class Quiet:
    """In place of rich's bar."""

    def update(self, *_: object, **__: object) -> None: ...

    def stop(self) -> None: ...


def test_a_bar_is_shown_on_a_terminal_after_two_seconds_alone(monkeypatch):
    from llmi2i_cli.runs import progress

    clock = [100.0]
    opened = []

    def open_quietly(bar):
        opened.append(bar.title)
        bar._progress, bar._task = Quiet(), 0

    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress.ProgressBar, "_open", open_quietly)
    for is_terminal, expected in ((False, []), (True, ["work"])):
        monkeypatch.setattr(sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal)
        with progress.progress_bar("work", 10) as bar:
            bar.update(1)
            clock[0] += 1.9
            bar.update(2)
            assert opened == []
            clock[0] += 0.2
            bar.advance(text="loss 1")
            assert (bar.done, bar.total) == (3, 10)
        assert opened == expected


# --- the program as a process ---------------------------------------------------------------------------------------


def test_the_console_script_is_the_same_program():
    [script] = [point for point in entry_points(group="console_scripts") if point.name == "llmi2i"]
    assert script.load() is program.main
    done = subprocess.run(
        [sys.executable, "-m", "llmi2i_cli", "--version"], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout == f"llmi2i {__version__}\n"


def test_statuses_of_the_process(tmp_path):
    def status(*arguments):
        command = [sys.executable, "-m", "llmi2i_cli", *arguments]
        return subprocess.run(command, capture_output=True, check=False, cwd=tmp_path).returncode

    assert status("status") == 0
    assert status("fuse") == 1
    assert status("fuse", "--strategy", "none") == 2


def test_ctrl_c_ends_with_130_and_keeps_what_was_done(tmp_path):
    out = tmp_path / "big"
    command = [sys.executable, "-m", "llmi2i_cli", "simulate", str(out), "--users", "200000", "--items", "2000"]
    running = subprocess.Popen([*command, "--interactions", "5000000"], stdout=-1, stderr=-1, text=True)
    while not list(out.glob(".partial-*")) and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=60)
    assert (running.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr
    assert not (out / "interactions.parquet").exists()


def test_a_reader_that_leaves_early_is_no_crash():
    command = f"{shlex.quote(sys.executable)} -m llmi2i_cli status | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=Path("/"))
    assert done.stderr == ""


def test_the_shell_can_complete_commands_and_choices(monkeypatch, capsys):
    monkeypatch.setenv("_LLMI2I_COMPLETE", "complete_bash")
    for words, completed in (("llmi2i tra", ["train-i2i"]), ("llmi2i evaluate --split v", ["valid"])):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code == 0
        assert capsys.readouterr().out.split() == completed


def test_tables_show_numbers_as_people_read_them(capsys):
    cells = [0.7112466729444497, 83.917, 12_345.6, 1_234_567, True, None, {"model": "bm25", "k1": 0.1, "b": 0.75}]
    print_table("figures", ("value",), [[cell] for cell in cells])
    rows = [line.strip("│ ") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert rows == ["0.7112", "83.92", "12,346", "1,234,567", "yes", "", "model bm25, k1 0.1, b 0.75"]
