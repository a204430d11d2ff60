"""What was asked for in a work directory, and what its validation split chose, as options of the stages.

It is read from the manifests alone. Of an evaluation M and decay are taken, which validation chose, and no figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from llmi2i_cli.choices.models import GENERATOR
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.runs.pipeline import KEPT_LOG, STAGES, Stage, producer_of
from llmi2i_cli.runs.states import State, states

ToSplit = Literal["valid", "test"]
Options = dict[str, Any]  # of a stage, JSON-serialisable
Manifest = Mapping[str, Any]

TRAINED_WITH = ("epochs", "learning_rate", "batch_size")  # what a base's defaults came to on the log at hand
FUSED_BY = ("strategy", "order", "recall_number", "min_confidence", "copied_history", "weight")


@dataclass(frozen=True)
class Step:
    """A stage to run.

    Attributes
    ----------
    asked : options as they were given
    chosen : what was decided when the stage ran; stands in for what was asked
    """

    stage: str
    asked: Options
    chosen: Options

    @property
    def options(self) -> Options:
        return {**self.asked, **self.chosen}


@dataclass(frozen=True)
class Choices:
    """What is to be run, in order, and how its results are to be asked.

    Attributes
    ----------
    lookups : M (``recent``) and ``decay`` by ``MODEL-DATA``, where they were chosen; of the tables and of the generator
    manifests : the files that tell all this
    """

    steps: Sequence[Step]
    lookups: Mapping[str, Mapping[str, float]]
    manifests: Sequence[Path]

    def as_json(self) -> dict[str, Any]:
        return {"steps": [vars(step) for step in self.steps], "lookups": self.lookups}


def choices_of(workdir: Path, to_split: ToSplit) -> Choices:
    """All that was done in `workdir`, to be done again on its log up to a split.

    Where no index was exported, every table is to be, as Parquet.

    Raises
    ------
    ArtifactError : a stage is stale, interrupted or unreadable, or there is no table; the message names the remedy
    """
    found = [state for state in states(workdir, ask_stores=True) if state.name != "missing"]
    steps = [_step(workdir, state) for state in found if state.stage.name in TAKEN]
    for needed in ("prepare", "train-i2i"):
        if not any(step.stage == needed for step in steps):
            command = _command(workdir, STAGES[needed], STAGES[needed].variants[0])
            raise ArtifactError(f"{workdir} has no result of {needed}: run `{command}` first")
    steps[0] = replace(steps[0], chosen={"to_split": to_split})
    tables = [(step.asked["model"], step.asked["data"]) for step in steps if step.stage == "train-i2i"]
    if not any(step.stage == "export-index" for step in steps):
        asked = {"top_k": None, "formats": ["parquet"]}
        steps += [Step("export-index", {"model": model, "data": data, **asked}, {}) for model, data in tables]
    told_by = [workdir / state.manifest_path for state in found if state.stage.name in {*TAKEN, "evaluate"}]
    return Choices(steps, _lookups(workdir, [*tables, (GENERATOR, "real")]), told_by)


def _lookups(workdir: Path, models: Sequence[tuple[str, str]]) -> dict[str, dict[str, float]]:
    from llmi2i_cli.evaluation.lookups import chosen_lookup

    found = {f"{model}-{data}": chosen_lookup(workdir, model, data) for model, data in models}
    return {name: lookup._asdict() for name, lookup in found.items() if lookup}


def _step(workdir: Path, state: State) -> Step:
    stage, command = state.stage, _command(workdir, state.stage, state.variant)
    if state.name != "done" or state.manifest is None:
        what = " ".join((stage.name, *state.variant.values()))
        raise ArtifactError(f"{workdir}: {what} is {state.name} ({state.why}): run `{command}` first")
    try:
        return Step(stage.name, *TAKEN[stage.name](state.manifest))
    except (KeyError, TypeError) as error:
        path = workdir / state.manifest_path
        raise ArtifactError(f"{path} does not tell what was chosen ({error}): run `{command} --force`") from error


def _command(workdir: Path, stage: Stage, variant: Mapping[str, str]) -> str:
    return f"{producer_of(f'{stage.folder}/{stage.writes[0].format(**variant)}')} -w {workdir}"


def _as_asked(manifest: Manifest) -> tuple[Options, Options]:
    return dict(manifest["options"]), {}


def _prepare(manifest: Manifest) -> tuple[Options, Options]:
    """Where the clean log is kept for the next day, it is kept there, too."""
    return {**manifest["options"], "keep_log": any(name.startswith(KEPT_LOG) for name in manifest["outputs"])}, {}


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


TAKEN: Mapping[str, Callable[[Manifest], tuple[Options, Options]]] = {
    "prepare": _prepare,
    "sft-gen": _sft_gen,
    "sft-disc": _sft_disc,
    "synthesize": _as_asked,
    "filter": _as_asked,
    "fuse": _fuse,
    "train-i2i": _train_i2i,
    "export-index": _export_index,
}
