"""`llmi2i refit`: train once more on all of the log, with the choices that validation made in another work directory.

The choices are written down first; then every stage runs as its own command would, with them as its options. So each
is skipped when up to date and goes on when it was killed, and the same command completes what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.preparation import PrepareOptions
from llmi2i_cli.choices.rules import RuleOptions
from llmi2i_cli.errors import UsageError
from llmi2i_cli.files.atomic import write_json
from llmi2i_cli.llm.finetuning_options import DiscriminatorOptions, GeneratorOptions
from llmi2i_cli.refit.choices import Options, ToSplit, choices_of
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
        function, arguments = STAGE_FUNCTIONS[step.stage]
        load(function)(workdir=to, **arguments(step.options))
    return told


def _prepare(options: Options) -> Options:
    """With the files themselves for the logs with their formats, which are told anew."""
    logs = {name: options[each] for name, each in (("inputs", "logs"), ("valid", "valid"), ("test", "test"))}
    paths = {name: [path for path, _ in pairs] for name, pairs in logs.items()}
    others = {name: options[name] for name in ("items", "users")}
    return {**paths, **others, "options": PrepareOptions.from_flat(options), "keep_log": options["keep_log"]}


def _export_index(options: Options) -> Options:
    rules = RuleOptions.from_manifest(options)
    others = {name: value for name, value in options.items() if name not in rules.given()}
    return {**others, "rules": rules}


def _synthesize(options: Options) -> Options:
    only_users = options.get("only_users")
    return {**options, "only_users": only_users and Path(only_users)}


# The function of each stage, and what it is called with for the options in a manifest, which are JSON.
STAGE_FUNCTIONS: Mapping[str, tuple[str, Callable[[Options], Options]]] = {
    "prepare": ("llmi2i_cli.stages.prepare:prepare", _prepare),
    "sft-gen": (
        "llmi2i_cli.stages.sft_gen:sft_gen",
        lambda options: {"options": GeneratorOptions.from_manifest(options)},
    ),
    "sft-disc": (
        "llmi2i_cli.stages.sft_disc:sft_disc",
        lambda options: {"options": DiscriminatorOptions.from_manifest(options)},
    ),
    "synthesize": ("llmi2i_cli.stages.synthesize:synthesize", _synthesize),
    "filter": ("llmi2i_cli.stages.filter:filter_candidates", dict),
    "fuse": ("llmi2i_cli.stages.fuse:fuse", dict),
    "train-i2i": ("llmi2i_cli.stages.train_i2i:train_i2i", dict),
    "export-index": ("llmi2i_cli.stages.export_index:export_index", _export_index),
}
