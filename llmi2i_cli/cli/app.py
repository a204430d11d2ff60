"""The program's commands in pipeline order, and the options of the program itself. Nothing heavy is imported here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from llmi2i_cli import __version__
from llmi2i_cli.cli.command import Command
from llmi2i_cli.cli.compare import compare
from llmi2i_cli.cli.evaluate import evaluate
from llmi2i_cli.cli.export_index import export_index
from llmi2i_cli.cli.filter import filter_candidates
from llmi2i_cli.cli.fuse import fuse
from llmi2i_cli.cli.prepare import prepare
from llmi2i_cli.cli.printing import on_stdout
from llmi2i_cli.cli.recommend import recommend
from llmi2i_cli.cli.refit import refit
from llmi2i_cli.cli.report import report
from llmi2i_cli.cli.sft_disc import sft_disc
from llmi2i_cli.cli.sft_gen import sft_gen
from llmi2i_cli.cli.simulate import simulate
from llmi2i_cli.cli.status import status
from llmi2i_cli.cli.synthesize import synthesize
from llmi2i_cli.cli.train_i2i import train_i2i

app = typer.Typer(
    name="llmi2i",
    help="Better item-to-item recommenders from the same log: one LLM adds interactions, another keeps the good ones.",
    epilog="The first nine are stages in the order in which they run, on files in --workdir. "
    "Each does nothing when its result is up to date.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        with on_stdout():
            sys.stdout.write(f"llmi2i {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Options of the program itself; `--debug` is taken out of the arguments by `__main__`, anywhere it stands."""


COMMANDS: Mapping[str, Callable[..., None]] = {
    "prepare": prepare,
    "sft-gen": sft_gen,
    "sft-disc": sft_disc,
    "synthesize": synthesize,
    "filter": filter_candidates,
    "fuse": fuse,
    "train-i2i": train_i2i,
    "evaluate": evaluate,
    "export-index": export_index,
    "refit": refit,
    "report": report,
    "simulate": simulate,
    "recommend": recommend,
    "compare": compare,
    "status": status,
}
for name, command in COMMANDS.items():
    app.command(name, cls=Command)(command)
