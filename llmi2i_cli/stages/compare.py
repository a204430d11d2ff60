"""`llmi2i compare`: a new index beside the one that is served, and whether it may take its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.gates import RECALL_WHERE_KNOWN, Gates
from llmi2i_cli.choices.index_forms import INDEX_FORMS
from llmi2i_cli.choices.options import as_given, check_bounds, spelled
from llmi2i_cli.errors import ArtifactError, GateError
from llmi2i_cli.files.documents import read_json
from llmi2i_cli.runs.manifests import is_as_described, read_manifest, verify
from llmi2i_cli.runs.pipeline import STAGES, producer_of, require
from llmi2i_cli.runs.progress import notice

DEFAULT_GATES = Gates()


def compare(
    old: Path, new: Path, *, model: str = "swing", data: str = "real", gates: Gates = DEFAULT_GATES
) -> dict[str, Any]:
    """Compare two indexes.

    Parameters
    ----------
    old, new : an exported index of a form that can be read back, a table ``i2i/MODEL-DATA.parquet``, or a work
        directory, for its table
    model, data : which table of a work directory
    gates : the bounds of the figures

    Returns
    -------
    ``old`` and ``new`` (each with ``path``, ``rows``, ``neighbours`` per row, ``items`` that stand in some row, and
    ``recall``, validation Recall@10 of a work directory, else null); the figures of `IndexComparison` and ``recall``,
    the quotient of the two; ``gates``, for each its ``figure``, ``bound`` and whether it ``passed`` (null: not known)

    Raises
    ------
    UsageError : a bound that makes no sense
    InputError, ArtifactError : an index is missing, empty or damaged
    """
    check_bounds(gates)
    from llmi2i_cli.evaluation.index_comparison import compare_rows
    from llmi2i_cli.i2i.exported_index import read_exported

    indexes = [read_exported(_index_of(path, model, data)) for path in (old, new)]
    recalls = [_validation_recall(path, model, data) if _is_workdir(path) else None for path in (old, new)]
    figures: dict[str, float | None] = {
        **asdict(compare_rows(indexes[0].first, indexes[1].first)),
        "recall": _ratio(recalls[1], recalls[0]),
    }
    told: dict[str, Any] = {}
    for side, path, index, recall in zip(("old", "new"), (old, new), indexes, recalls, strict=True):
        rows, items = (index.first[column].n_unique() for column in ("item_id", "neighbour_id"))
        told[side] = {
            "path": str(path),
            "rows": rows,
            "neighbours": index.n_neighbours / rows,
            "items": items,
            "recall": recall,
        }
    passed = {name: _at_gate(name, bound, figures[name[4:]]) for name, bound in as_given(gates).items()}
    return {**told, **figures, "gates": passed}


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    """None where one of the two is not known, or ours is compared with nothing."""
    return ours / theirs if ours is not None and theirs else None


def check_gates(result: Mapping[str, Any]) -> None:
    """GateError that names each gate of a comparison that failed."""
    failed = []
    for name, gate in result["gates"].items():
        if gate["passed"] is False:
            figure = "not known" if gate["figure"] is None else f"{gate['figure']:.4g}"
            failed.append(f"{name[4:]} is {figure} ({spelled(name)} {gate['bound']:g})")
    if failed:
        raise GateError(f"{result['new']['path']} must not take the place of the old index: {', '.join(failed)}")


def _at_gate(name: str, bound: float | None, figure: float | None) -> dict[str, Any]:
    """Whether a figure passes; the bound of the recall alone may be left open, and then an unknown one is let be."""
    asked, bound = bound is not None, RECALL_WHERE_KNOWN if bound is None else bound
    if figure is None:
        return {"figure": None, "bound": bound, "passed": False if asked else None}
    return {"figure": figure, "bound": bound, "passed": figure >= bound if name.startswith("min_") else figure <= bound}


def _is_workdir(path: Path) -> bool:
    return path.is_dir() and path.suffix not in {form.ending for form in INDEX_FORMS.values()}


def _index_of(path: Path, model: str, data: str) -> Path:
    """The index that `path` stands for; a work directory's table has to be what its run has written."""
    if not _is_workdir(path):
        return path
    table = f"i2i/{model}-{data}.parquet"
    require(path, table)
    verify(path, table)
    return path / table


def _validation_recall(workdir: Path, model: str, data: str) -> float | None:
    """Validation Recall@10 of a work directory's table as it is now; None where that has not been measured.

    ArtifactError if the measurement is damaged.
    """
    stage, variant = STAGES["evaluate"], {"model": model, "data": data, "split": "valid"}
    name, table = f"evaluate/{model}-{data}-valid.json", f"i2i/{model}-{data}.parquet"
    manifest = read_manifest(workdir / stage.folder / stage.manifest_name(variant))
    if manifest is None or table not in manifest["inputs"]:
        return None
    if not is_as_described(workdir / table, manifest["inputs"][table]):
        notice(f"Warning: {workdir / table} was trained again since it was evaluated: its recall is not known")
        return None
    verify(workdir, name)
    try:
        return float(read_json(workdir / name)["metrics"]["all"]["recall@10"])
    except KeyError:
        return None  # it was asked for at other K alone
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{workdir / name} is damaged: run `{producer_of(name)} -w {workdir} --force`") from error
