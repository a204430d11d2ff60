"""The files and tables that rules are read from, so that runs know what their results were made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from llmi2i_cli.choices.models import has_variant
from llmi2i_cli.choices.rules import RuleOptions
from llmi2i_cli.errors import InputError, UsageError
from llmi2i_cli.runs.manifests import read_manifest


def rule_files(workdir: Path, options: RuleOptions) -> list[Path]:
    """All files outside the work directory that the rules are read from. InputError if one is missing."""
    files = [*filter(None, (options.allow, options.deny)), *catalogue_of(workdir, options).files]
    for file in files:
        if not file.exists():
            raise InputError(f"{file}: no such file")
    return files


class CatalogueFiles(NamedTuple):
    """Where the columns of an item are read; `item_column` names that of the ids, where a file has it."""

    files: Sequence[Path] = ()
    item_column: str | None = None


def catalogue_of(workdir: Path, options: RuleOptions) -> CatalogueFiles:
    """The catalogue with the columns of the rules: the one that was given, else what `prepare` has read.

    UsageError if columns are named and there is no catalogue.
    """
    if not options.columns:
        return CatalogueFiles()
    if options.catalogue:
        return CatalogueFiles((options.catalogue,))
    manifest = read_manifest(workdir / "prepare" / "manifest.json")
    asked = manifest["options"] if manifest else {}
    if not asked.get("items"):
        raise UsageError(f"{workdir} was prepared without a catalogue: name one with --catalogue FILE")
    return CatalogueFiles([Path(path) for path in asked["items"]], asked.get("item_column"))


def filling_paths(options: RuleOptions, data: str) -> list[str]:
    """The table that fills rows, by its path in the work directory; none if rows are not to be filled."""
    return ["i2i/{}-{}.parquet".format(*filling_table(options.fill, data))] if options.fill else []


def filling_table(model: str, data: str) -> tuple[str, str]:
    """Model and log of the table that fills rows of a table on the log `data`."""
    return model, data if has_variant(model, data) else "real"
