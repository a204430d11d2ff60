"""What a refit does with each stage: what it takes from the manifest of a run, and how it calls the stage again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.fuse_options import FuseOptions
from llmi2i_cli.choices.preparation import PrepareOptions
from llmi2i_cli.choices.rules import RuleOptions
from llmi2i_cli.llm.finetuning_options import DiscriminatorOptions, GeneratorOptions
from llmi2i_cli.runs.pipeline import KEPT_LOG

Options = dict[str, Any]  # of a stage, JSON-serialisable
Manifest = Mapping[str, Any]

TRAINED_WITH = ("epochs", "learning_rate", "batch_size")  # what a base's defaults came to on the log at hand
FUSED_BY = ("strategy", "order", "recall_number", "min_confidence", "copied_history", "weight")


@dataclass(frozen=True)
class Again:
    """A row of the table.

    Attributes
    ----------
    function : dotted path of the stage
    taken : from a run's manifest the options as they were given, and what was decided when the stage ran
    arguments : what the function is called with, from both together, which are JSON
    """

    function: str
    taken: Callable[[Manifest], tuple[Options, Options]]
    arguments: Callable[[Options], Options] = dict


def _as_asked(manifest: Manifest) -> tuple[Options, Options]:
    return dict(manifest["options"]), {}


def _prepare(manifest: Manifest) -> tuple[Options, Options]:
    """Where the clean log is kept for the next day, it is kept there, too."""
    return {**manifest["options"], "keep_log": any(name.startswith(KEPT_LOG) for name in manifest["outputs"])}, {}


def _prepare_with(options: Options) -> Options:
    """With the files themselves for the logs with their formats, which are told anew."""
    logs = {name: options[each] for name, each in (("inputs", "logs"), ("valid", "valid"), ("test", "test"))}
    paths = {name: [path for path, _ in pairs] for name, pairs in logs.items()}
    others = {name: options[name] for name in ("items", "users")}
    return {**paths, **others, "options": PrepareOptions.from_flat(options), "keep_log": options["keep_log"]}


def _sft_gen(manifest: Manifest) -> tuple[Options, Options]:
    """As many epochs as were kept, of the same schedule; without validation there is nothing to be patient about."""
    chosen = {name: manifest[name] for name in TRAINED_WITH}
    return dict(manifest["options"]), {**chosen, "stop_after": manifest["chosen_epoch"], "patience": 0}


def _sft_disc(manifest: Manifest) -> tuple[Options, Options]:
    """With the calibration that validation fitted: the threshold of `fuse` is on that scale."""
    chosen = {name: manifest[name] for name in TRAINED_WITH}
    if fitted := manifest.get("calibration"):
        chosen["calibration"] = [fitted["slope"], fitted["intercept"]]
    asked = {name: value for name, value in manifest["options"].items() if name not in ("generator", "features")}
    return asked, chosen


def _synthesize_with(options: Options) -> Options:
    only_users = options.get("only_users")
    return {**options, "only_users": only_users and Path(only_users)}


def _fuse(manifest: Manifest) -> tuple[Options, Options]:
    asked = {name: manifest["options"][name] for name in ("include_real", "model")}
    chosen = {"tune": False, **{name: manifest["choice"][name] for name in FUSED_BY}}
    if asked["include_real"]:
        chosen["drop_real"] = manifest["choice"]["drop_real"]
    return asked, chosen


def _train_i2i(manifest: Manifest) -> tuple[Options, Options]:
    """Where early stopping chose an epoch, exactly that many are trained."""
    asked = {**manifest["variant"], **{name: manifest["options"][name] for name in ("top_k", "search")}}
    epochs = {"epochs": manifest["chosen_epoch"]} if "chosen_epoch" in manifest else {}
    return asked, {"model_options": {**manifest["choice"], **epochs}}


def _export_index(manifest: Manifest) -> tuple[Options, Options]:
    variant = manifest["variant"]
    asked = {"model": variant["model"], "data": variant["data"], "formats": [variant["format"]]}
    return {**asked, **manifest["options"]}, {}


def _export_index_with(options: Options) -> Options:
    rules = RuleOptions.from_manifest(options)
    others = {name: value for name, value in options.items() if name not in rules.given()}
    return {**others, "rules": rules}


AGAIN: Mapping[str, Again] = {
    "prepare": Again("llmi2i_cli.stages.prepare:prepare", _prepare, _prepare_with),
    "sft-gen": Again(
        "llmi2i_cli.stages.sft_gen:sft_gen",
        _sft_gen,
        lambda options: {"options": GeneratorOptions.from_manifest(options)},
    ),
    "sft-disc": Again(
        "llmi2i_cli.stages.sft_disc:sft_disc",
        _sft_disc,
        lambda options: {"options": DiscriminatorOptions.from_manifest(options)},
    ),
    "synthesize": Again("llmi2i_cli.stages.synthesize:synthesize", _as_asked, _synthesize_with),
    "filter": Again("llmi2i_cli.stages.filter:filter_candidates", _as_asked),
    "fuse": Again("llmi2i_cli.stages.fuse:fuse", _fuse, lambda options: {"options": FuseOptions(**options)}),
    "train-i2i": Again("llmi2i_cli.stages.train_i2i:train_i2i", _train_i2i),
    "export-index": Again("llmi2i_cli.stages.export_index:export_index", _export_index, _export_index_with),
}
