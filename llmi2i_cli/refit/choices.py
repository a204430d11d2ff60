"""What was asked for in a work directory, and what its validation split chose, as options of the stages.

It is read from the manifests alone. Of an evaluation M and decay are taken, which validation chose, and no figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from llmi2i_cli.choices.models import GENERATOR
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.refit.stages import AGAIN, Options
from llmi2i_cli.runs.pipeline import STAGES, Stage, producer_of
from llmi2i_cli.runs.states import State, states

ToSplit = Literal["valid", "test"]


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
    steps = [_step(workdir, state) for state in found if state.stage.name in AGAIN]
    for needed in ("prepare", "train-i2i"):
        if not any(step.stage == needed for step in steps):
            command = _command(workdir, STAGES[needed], STAGES[needed].variants[0])
            raise ArtifactError(f"{workdir} has no result of {needed}: run `{command}` first")
    steps[0] = replace(steps[0], chosen={"to_split": to_split})
    tables = [(step.asked["model"], step.asked["data"]) for step in steps if step.stage == "train-i2i"]
    if not any(step.stage == "export-index" for step in steps):
        asked = {"top_k": None, "formats": ["parquet"]}
        steps += [Step("export-index", {"model": model, "data": data, **asked}, {}) for model, data in tables]
    told_by = [workdir / state.manifest_path for state in found if state.stage.name in {*AGAIN, "evaluate"}]
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
        return Step(stage.name, *AGAIN[stage.name].taken(state.manifest))
    except (KeyError, TypeError) as error:
        path = workdir / state.manifest_path
        raise ArtifactError(f"{path} does not tell what was chosen ({error}): run `{command} --force`") from error


def _command(workdir: Path, stage: Stage, variant: Mapping[str, str]) -> str:
    return f"{producer_of(f'{stage.folder}/{stage.writes[0].format(**variant)}')} -w {workdir}"
