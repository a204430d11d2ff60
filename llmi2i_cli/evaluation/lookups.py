"""How a model is asked where nothing is left to choose by: as it was measured, or as another work directory chose.

`evaluate` chooses M and decay for the table at hand and leaves them in its manifest. A refitted work directory has
nothing held out to choose by; it names those that were chosen where it took its choices from.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

from llmi2i_cli.choices.models import GENERATOR
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.evaluation.validation import LOOKUP_WITHOUT_VALIDATION, Lookup
from llmi2i_cli.runs.manifests import is_as_described, read_manifest
from llmi2i_cli.runs.pipeline import CHOICES, STAGES
from llmi2i_cli.runs.progress import notice


def chosen_lookup(workdir: Path, model: str, data: str) -> Lookup | None:
    """The M and the decay that this very model is to be asked with, or None if nobody has chosen them.

    That is what `evaluate` has measured it with, else what the work directory was refitted with. A warning tells when
    there is a measurement, but of an earlier model.
    """
    stage, stale = STAGES["evaluate"], ""
    trained, ranking = f"i2i/{model}-{data}.parquet", "index"
    if model == GENERATOR:
        trained, ranking = "sft-gen/model/", GENERATOR
    for log, split in product((data, "fused"), ("test", "valid")):  # the real log may be the other's baseline
        manifest = read_manifest(
            workdir / stage.folder / stage.manifest_name({"model": model, "data": log, "split": split})
        )
        protocol = (manifest or {}).get("protocols", {}).get(data)
        if manifest is None or protocol is None or protocol["ranking"] != ranking:
            continue
        files = {name: entry for name, entry in manifest["inputs"].items() if name.startswith(trained)}
        if all((workdir / name).exists() and is_as_described(workdir / name, entry) for name, entry in files.items()):
            return Lookup(protocol["recent"], protocol.get("decay", 1.0))
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
        found = json.loads(path.read_text(encoding="utf-8"))["lookups"].get(f"{model}-{data}")
        return found and Lookup(int(found["recent"]), float(found["decay"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged: run `llmi2i refit -w WORK --to {workdir}` again") from error
