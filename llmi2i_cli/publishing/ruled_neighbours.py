"""The neighbours that are shown: of a model's table what the shop's rules permit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.choices.rules import RuleOptions
from llmi2i_cli.data.item_lists import UNKNOWN, read_item_list, read_item_values
from llmi2i_cli.errors import InputError
from llmi2i_cli.i2i.neighbour_table import read_neighbours
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours
from llmi2i_cli.i2i.rules import Rules, filled, under_rules
from llmi2i_cli.publishing.rule_files import CatalogueFiles, catalogue_of, filling_table
from llmi2i_cli.runs.progress import notice


def ruled_neighbours(
    workdir: Path, model: str, data: str, item_ids: pl.Series, *, top_k: int | None, options: RuleOptions
) -> Neighbours:
    """The first `top_k` neighbours of each item in ``i2i/MODEL-DATA.parquet`` that the rules permit.

    They are taken from the whole table, so rows stay full as long as it holds enough; a notice tells how many do not.

    Raises
    ------
    InputError : a list or a catalogue cannot be read, or is of other items
    ArtifactError : a table is missing or damaged
    """
    if not options.given():
        return read_neighbours(workdir, model, data, item_ids, top_k=top_k)
    rules = _read_rules(workdir, options, item_ids)
    table = read_neighbours(workdir, model, data, item_ids)
    width = top_k or table.k
    found = under_rules(table, rules, width)
    if options.fill:
        others = read_neighbours(workdir, *filling_table(options.fill, data), item_ids)
        found = filled(found, under_rules(others, rules, others.k), width)
    before = np.minimum((table.ids != EMPTY).sum(axis=1), width)
    short = int(((found.ids != EMPTY).sum(axis=1) < before).sum())
    if short:
        remedy = "" if options.fill else ", or fill them with --fill text"
        notice(
            f"{short:,} of {found.n_items:,} rows hold fewer neighbours under the rules than without (up to {width}): "
            f"`llmi2i train-i2i` with a larger --top-k gives more to choose from{remedy}"
        )
    return found


def _read_rules(workdir: Path, options: RuleOptions, item_ids: pl.Series) -> Rules:
    allowed = np.ones(len(item_ids), bool)
    if options.allow:
        allowed &= _is_listed(options.allow, "--allow", item_ids)
        if not allowed.any():
            raise InputError(f"{options.allow}: none of its items is in the index: --allow would leave every row empty")
    if options.deny:
        allowed &= ~_is_listed(options.deny, "--deny", item_ids)
    if not allowed.any():
        raise InputError(f"{options.deny}: --deny leaves no item that may be a neighbour")
    catalogue = catalogue_of(workdir, options)
    same = _values(catalogue, options.same, item_ids, "--same")
    different = _values(catalogue, options.different, item_ids, "--different")
    return Rules(allowed, same, different)


def _is_listed(path: Path, option: str, item_ids: pl.Series) -> NDArray[np.bool_]:
    listed = read_item_list(path, option)
    is_listed = item_ids.is_in(listed.implode())
    if n_outside := listed.n_unique() - int(is_listed.sum()):
        notice(f"{path}: {n_outside:,} of {listed.n_unique():,} items are not in the index")
    return is_listed.to_numpy()


def _values(
    catalogue: CatalogueFiles, column: str | None, item_ids: pl.Series, option: str
) -> NDArray[np.int32] | None:
    if column is None:
        return None
    codes = read_item_values(catalogue.files, column, item_ids, option, catalogue.item_column)
    if n_unknown := int((codes == UNKNOWN).sum()):
        notice(f"{n_unknown:,} of {len(codes):,} items have no {column}: {option} leaves their rows empty")
    return codes
