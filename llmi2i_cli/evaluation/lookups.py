"""How a model is asked where nothing is left to choose by: as it was measured, or as another work directory chose.

`evaluate` chooses M and decay for the table at hand and leaves them in its manifest. A refitted work directory has
nothing held out to choose by; it names those that were chosen where it took its choices from.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

from llmi2i_cli.choices.models import GENERATOR
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.evaluation.protocol import lookup_of
from llmi2i_cli.evaluation.validation import LOOKUP_WITHOUT_VALIDATION, Lookup
from llmi2i_cli.files.documents import read_json
from llmi2i_cli.runs.manifests import is_as_described, read_manifest
from llmi2i_cli.runs.pipeline import CHOICES, STAGES
from llmi2i_cli.runs.progress import notice


def chosen_lookup(workdir: Path, model: str, data: str) -> Lookup | None:
    """The M and the decay that this very model is to be asked with, or None if nobody has chosen them.

    That is what `evaluate` has measured it with, else what the work directory was refitted with. A warning tells when
    there is a measurement, but of an earlier model; an ArtifactError, when one is damaged.
    """
    stage, stale = STAGES["evaluate"], ""
    trained, ranking = f"i2i/{model}-{data}.parquet", "index"
    if model == GENERATOR:
        trained, ranking = "sft-gen/model/", GENERATOR
    for log, split in product((data, "fused"), ("test", "valid")):  # the real log may be the other's baseline
        variant = {"model": model, "data": log, "split": split}
        path = workdir / stage.folder / stage.manifest_name(variant)
        if not path.exists():
            continue
        try:
            manifest = read_manifest(path) or {}
            protocol = manifest["protocols"].get(data)
            if protocol is None or protocol["ranking"] != ranking:
                continue
            lookup = lookup_of({"decay": 1.0, **protocol} if ranking == GENERATOR else protocol)
            files = {name: entry for name, entry in manifest["inputs"].items() if name.startswith(trained)}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            asked = " ".join(f"--{name} {value}" for name, value in variant.items())
            raise ArtifactError(
                f"{path} is damaged: run `llmi2i evaluate {asked} -w {workdir} --force`, or give --recent and --decay"
            ) from error
        if all((workdir / name).exists() and is_as_described(workdir / name, entry) for name, entry in files.items()):
            return lookup
        stale = trained
    carried = carried_lookup(workdir, model, data)
    if carried is None and stale:
        notice(
            f"Warning: {stale} was trained again since it was evaluated, so M is {LOOKUP_WITHOUT_VALIDATION.recent}: "
            f"run `llmi2i evaluate --model {model} --data {data} -w {workdir}` first"
        )
    return carried


def carried_lookup(workdir: Path, model: str, data: str) -> Lookup | None:
    """What the work directory was refitted with, None where that says nothing. ArtifactError if it is damaged."""
    path = workdir / CHOICES
    if not path.exists():
        return None
    try:
        found = read_json(path)["lookups"].get(f"{model}-{data}")
        return found and Lookup(int(found["recent"]), float(found["decay"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged: run `llmi2i refit -w WORK --to {workdir}` again") from error
