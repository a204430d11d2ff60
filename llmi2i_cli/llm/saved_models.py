"""llmi2i's own checkpoints.

A checkpoint is a Hugging Face model directory (config, safetensors, tokenizer) with two more files: ``llmi2i.json``
(how to build its prompts and where its item tokens lie) and ``item_tokens.parquet`` (item_id, token_id), so that other
tools can use it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
import torch

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.documents import read_json
from llmi2i_cli.files.tables import write_table
from llmi2i_cli.llm.item_model import ItemModel, TokenLayout, tables_of
from llmi2i_cli.llm.pretrained import attention_implementation, read_model, reason_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CARD = "llmi2i.json"
ITEM_TOKENS = "item_tokens.parquet"
Role = Literal["generator", "discriminator"]
VOCABULARY_MULTIPLE = 64  # of the tokens of a saved model


@dataclass(frozen=True)
class Card:
    """What ``llmi2i.json`` says of a checkpoint.

    `held_out` names the splits that it has not seen, `held_out_by` has the options of prepare that decided about them.
    """

    role: Role
    base_model: str
    base_vocab: int
    n_items: int
    n_evidence: int
    catalogue: str
    template: str
    titles_in_prompt: bool
    max_length: int
    from_scratch: bool
    held_out: Sequence[str]
    held_out_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layout(self) -> TokenLayout:
        return TokenLayout(self.base_vocab, self.n_items, self.n_evidence)


def catalogue_digest(item_ids: pl.Series) -> str:
    """Identity of a catalogue: its ids in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for item_id in item_ids:
        digest.update(item_id.encode() + b"\0")
    return digest.hexdigest()


def save_checkpoint(
    model: ItemModel, tokenizer: PreTrainedTokenizerBase, card: Card, item_ids: pl.Series, directory: Path
) -> None:
    """Write a Hugging Face checkpoint with its card and its item tokens.

    Its vocabulary is padded, as kernels and servers like it, with rows of zeros.
    """
    model.merge_title_words()
    model.llm.resize_token_embeddings(card.layout.size, pad_to_multiple_of=VOCABULARY_MULTIPLE, mean_resizing=False)
    with torch.no_grad():
        for table in tables_of(model.llm):
            table[card.layout.size :] = 0
    model.llm.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    tokens = np.arange(card.layout.n_items, dtype=np.int64) + card.layout.base_vocab
    write_table(pl.DataFrame({"item_id": item_ids, "token_id": tokens}), directory / ITEM_TOKENS)
    (directory / CARD).write_text(json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_card(directory: Path, item_ids: pl.Series, remedy: str) -> Card:
    """The card of a checkpoint; ArtifactError if it is damaged or belongs to another catalogue."""
    try:
        values: dict[str, Any] = read_json(directory / CARD)
        card = Card(**values)
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"{directory} is not a checkpoint of llmi2i ({CARD} is missing or damaged): {remedy}"
        ) from error
    if card.n_items != len(item_ids) or card.catalogue != catalogue_digest(item_ids):
        raise ArtifactError(f"{directory} was trained on another catalogue than prepare/items.parquet: {remedy}")
    return card


def load_checkpoint(
    directory: Path, item_ids: pl.Series, *, attention: str, remedy: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, Card]:
    """Load a checkpoint of ours, its vocabulary still padded.

    ArtifactError if it is damaged, foreign or of another catalogue.
    """
    card = read_card(directory, item_ids, remedy)
    implementation = attention_implementation(attention)
    try:
        llm, tokenizer = read_model(directory, attn_implementation=implementation)
    except Exception as error:  # safetensors and tokenizers raise types of their own
        raise ArtifactError(f"{directory} is damaged ({reason_of(error)}): {remedy}") from error
    if not 0 <= llm.get_input_embeddings().num_embeddings - card.layout.size < VOCABULARY_MULTIPLE:
        raise ArtifactError(f"{directory}: its vocabulary does not fit its card: {remedy}")
    return llm, tokenizer, card
