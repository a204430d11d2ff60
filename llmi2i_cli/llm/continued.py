"""An earlier checkpoint as the base of today's model: the same weights, and item tokens matched by item id.

An item that both catalogues hold keeps its rows, one that is gone drops out, and a new one starts as it would in a base
that is built anew. The words stay those of the checkpoint: what today's titles say in other words is not read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from llmi2i_cli.artifacts.holding_out import what_differs
from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.errors import ArtifactError, UsageError
from llmi2i_cli.files.tables import collect_table, scan_table
from llmi2i_cli.llm.bases import MAX_TITLE_TOKENS, Base, add_item_rows, defaults_of
from llmi2i_cli.llm.item_model import TitleWords, TokenLayout, tables_of
from llmi2i_cli.llm.prompts import tokenize_distinct
from llmi2i_cli.llm.saved_models import ITEM_TOKENS, Card, Role, load_checkpoint

REMEDY = "give --from a work directory in which both models were trained, or a checkpoint of llmi2i"


def base_from_earlier(directory: Path, role: Role, log: PreparedLog, *, attention: str, seed: int) -> Base:
    """A checkpoint of ours with the item tokens of today's catalogue, ready to be trained further.

    Raises
    ------
    ArtifactError : it is damaged, foreign or of the other role
    UsageError : it has been trained on interactions that `log` holds out, or may have been
    """
    table = directory / ITEM_TOKENS
    earlier_ids = collect_table(scan_table(table, {"item_id": pl.String}, REMEDY), table, REMEDY)["item_id"]
    llm, tokenizer, card = load_checkpoint(directory, earlier_ids, attention=attention, remedy=REMEDY)
    _check(directory, card, role, log)
    catalogue = log.catalogue
    layout = TokenLayout(card.base_vocab, catalogue.n_items, card.n_evidence)
    texts = catalogue.descriptions() if card.from_scratch else catalogue.titles.to_list()
    titles = tokenize_distinct(tokenizer, texts, MAX_TITLE_TOKENS)
    earlier_rows = [table.detach().clone() for table in tables_of(llm)]
    add_item_rows(llm, layout, titles, seed)
    known, place = _matched(catalogue.ids, earlier_ids)
    words_stay_part = card.from_scratch and role == "generator"
    with torch.no_grad():
        for rows, earlier in zip(tables_of(llm), earlier_rows, strict=True):
            items = rows[layout.item_rows]
            items[known] = earlier[card.layout.item_rows][place]
            rows[layout.item_rows.stop :] = earlier[card.layout.item_rows.stop : card.layout.size]
            if words_stay_part:
                items -= TitleWords(titles, layout.base_vocab)(rows[: layout.base_vocab])
    return Base(
        card.base_model,
        llm,
        tokenizer,
        layout,
        titles,
        titles if words_stay_part else None,
        from_scratch=card.from_scratch,
        defaults=replace(defaults_of(card.base_model), max_length=card.max_length),
        continues=card,
    )


def _check(directory: Path, card: Card, role: Role, log: PreparedLog) -> None:
    if card.role != role:
        raise ArtifactError(f"{directory} is a {card.role}, not a {role}: {REMEDY}")
    known = [split for split in log.held_out if split not in card.held_out]
    if known:
        raise UsageError(
            f"{directory} was trained on interactions that prepare/ now holds out ({', '.join(known)}): "
            "start --from a work directory with the same splits, not from what refit has made of it"
        )
    difference = what_differs(card.held_out_by, log.held_out_by) if log.held_out else None
    if difference:
        raise UsageError(
            f"{directory} was trained on interactions that prepare/ may now hold out ({difference}): "
            "prepare both work directories with the same options, or train anew, without --from"
        )


def _matched(ids: pl.Series, earlier_ids: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The items that both hold: their rows today and their earlier ones, int64 (n_both,) each."""
    earlier = pl.DataFrame({"item_id": earlier_ids}).with_row_index("place")
    found = pl.DataFrame({"item_id": ids}).join(earlier, on="item_id", how="left", maintain_order="left")["place"]
    known = found.is_not_null()
    return known.arg_true().to_numpy().astype(np.int64), found.filter(known).to_numpy().astype(np.int64)
