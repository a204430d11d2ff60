"""`llmi2i refit`: train once more on all of the log, with the choices that validation made in another work directory.

The choices are written down first; then every stage runs as its own command would, with them as its options. So each
is skipped when up to date and goes on when it was killed, and the same command completes what is left.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmi2i_cli.choices.loading import load
from llmi2i_cli.errors import UsageError
from llmi2i_cli.files.atomic import write_json
from llmi2i_cli.refit.choices import ToSplit, choices_of
from llmi2i_cli.refit.stages import AGAIN
from llmi2i_cli.runs.pipeline import CHOICES
from llmi2i_cli.runs.workdir import stage_run


def refit(workdir: Path, to: Path, *, to_split: ToSplit = "test") -> dict[str, Any]:
    """Take the choices of `workdir` and run all its stages in `to`, on the interactions up to a split.

    Parameters
    ----------
    to : a work directory that does not exist yet, or one of an earlier refit
    to_split : ``test`` holds nothing out; ``valid`` leaves test held out, to measure what a refit is worth

    Returns
    -------
    what ``refit/choices.json`` holds: ``work``, ``to_split``, ``steps`` (each with ``stage``, ``asked`` and ``chosen``)
    and ``lookups`` (M and decay by ``MODEL-DATA``)

    Raises
    ------
    UsageError : `to` is `workdir` itself, or has a log of its own
    ArtifactError : something in `workdir` is stale or was interrupted, or there is no table
    """
    if to.resolve() == workdir.resolve():
        raise UsageError(f"--to {to} is the work directory that the choices come from: name another one")
    if (to / "prepare").exists() and not (to / CHOICES).parent.exists():
        raise UsageError(f"--to {to} is a work directory with a log of its own: name another one")
    choices = choices_of(workdir, to_split)
    about = {"work": str(workdir.resolve()), "to_split": to_split}
    told = {**about, **choices.as_json()}
    with stage_run(to, "refit", options=about, files=choices.manifests, resumable=False) as run:
        if not run.up_to_date:
            write_json(run.output("choices.json"), told)
            run.publish()
    for step in choices.steps:
        stage = AGAIN[step.stage]
        load(stage.function)(workdir=to, **stage.arguments(step.options))
    return told
