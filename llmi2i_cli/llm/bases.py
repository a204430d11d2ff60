"""What is fine-tuned: a preset, a pretrained causal LM or a checkpoint of ours, with a token for each item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.errors import ModelError, UsageError
from llmi2i_cli.llm.item_model import RaggedTokens, TokenLayout, tables_of
from llmi2i_cli.llm.presets import PRESETS, PRETRAINED, Preset, TrainingDefaults
from llmi2i_cli.llm.pretrained import attention_implementation, load_pretrained, reason_of
from llmi2i_cli.llm.prompts import tokenize_distinct
from llmi2i_cli.llm.saved_models import Card, load_checkpoint
from llmi2i_cli.llm.word_tokenizer import NO, YES, build_word_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_TITLE_TOKENS = 32


@dataclass(frozen=True)
class Base:
    """A model with item tokens, ready to be fine-tuned.

    Attributes
    ----------
    spec : the preset, directory or hub id that it was made from, be it by way of a checkpoint of ours
    titles : title tokens of each item, for prompts
    title_words : title tokens whose embeddings are part of the item vectors while training (a fresh preset), or None
    from_scratch : a preset, fresh or trained: its prompt is the bare history
    continues : the card of the checkpoint whose training goes on; None: it is trained for its role for the first time
    """

    spec: str
    llm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    layout: TokenLayout
    titles: RaggedTokens
    title_words: RaggedTokens | None
    from_scratch: bool
    defaults: TrainingDefaults
    continues: Card | None = None

    def max_length(self, asked: int | None) -> int:
        """Tokens that a prompt may have: `asked`, or else the default, as far as the base's positions reach.

        UsageError if more is asked for than the base has positions.
        """
        limit = getattr(self.llm.config, "max_position_embeddings", None) or self.defaults.max_length
        if asked is not None and asked > limit:
            raise UsageError(f"--max-length {asked} is more than the {limit} positions of the base model")
        return asked or min(self.defaults.max_length, limit)


def load_base(spec: str, catalogue: Catalogue, *, attention: str, seed: int, n_evidence: int = 0) -> Base:
    """Build a preset or load a pretrained causal LM (a local directory or a hub id), and give it item tokens.

    Raises
    ------
    ModelError : `spec` is neither a preset nor something that transformers loads as a causal LM
    """
    if spec in PRESETS:
        return _from_preset(PRESETS[spec], catalogue.n_items, catalogue.descriptions(), attention, seed, n_evidence)
    llm, tokenizer = load_pretrained(spec, attention)
    base_vocab = llm.get_input_embeddings().num_embeddings
    layout = TokenLayout(base_vocab, catalogue.n_items, n_evidence)
    titles = tokenize_distinct(tokenizer, list(catalogue.titles), MAX_TITLE_TOKENS)
    add_item_rows(llm, layout, titles, seed)
    return Base(spec, llm, tokenizer, layout, titles, None, from_scratch=False, defaults=PRETRAINED)


def base_without_weights(spec: str, catalogue: Catalogue, *, attention: str, seed: int) -> Base:
    """What `load_base` gives, on torch's meta device: of a pretrained model only configuration and tokenizer are read.

    ModelError as there.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if spec in PRESETS:
        with torch.device("meta"):
            return load_base(spec, catalogue, attention=attention, seed=seed)
    try:
        config = AutoConfig.from_pretrained(spec, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(spec, trust_remote_code=False)
        layout = TokenLayout(config.vocab_size, catalogue.n_items)
        config.vocab_size = layout.size
        with torch.device("meta"):
            llm = AutoModelForCausalLM.from_config(config, attn_implementation=attention_implementation(attention))
    except Exception as error:  # configurations and tokenizers raise types of their own
        raise ModelError(
            f"{spec} has no configuration of a causal language model that can be read ({reason_of(error)})"
        ) from error
    titles = tokenize_distinct(tokenizer, list(catalogue.titles), MAX_TITLE_TOKENS)
    return Base(spec, llm.float(), tokenizer, layout, titles, None, from_scratch=False, defaults=PRETRAINED)


def _from_preset(
    preset: Preset, n_items: int, texts: Sequence[str], attention: str, seed: int, n_evidence: int
) -> Base:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_word_tokenizer(texts, preset.text_words)
    layout = TokenLayout(len(tokenizer), n_items, n_evidence)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=layout.size,
        hidden_size=preset.hidden_size,
        intermediate_size=preset.intermediate_size,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        num_key_value_heads=preset.heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation=attention_implementation(attention),
    )
    titles = tokenize_distinct(tokenizer, texts, MAX_TITLE_TOKENS)
    llm = LlamaForCausalLM(config)
    return Base(preset.name, llm, tokenizer, layout, titles, titles, from_scratch=True, defaults=preset.training)


@torch.no_grad()
def add_item_rows(llm: PreTrainedModel, layout: TokenLayout, titles: RaggedTokens, seed: int) -> None:
    """Grow the vocabulary; an item's rows start as the mean of the base's own rows of its title's tokens."""
    llm.resize_token_embeddings(layout.size, mean_resizing=False)
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.from_numpy(np.diff(titles.ptr))
    for table in tables_of(llm):
        words = table[: layout.base_vocab].float()
        centre, spread = words.mean(0), words.std(0)
        means = torch.nn.functional.embedding_bag(
            torch.from_numpy(titles.tokens), words, torch.from_numpy(titles.ptr[:-1]), mode="mean"
        )
        means[lengths == 0] = centre
        # Two items may share a title: a little noise tells their rows apart from the start.
        noise = torch.randn(means.shape, generator=generator) * spread * 0.1
        table[layout.item_rows] = (means + noise).to(table.dtype)
    _add_evidence_rows(llm, layout, seed)


def base_from_checkpoint(
    directory: Path, catalogue: Catalogue, *, attention: str, seed: int, n_evidence: int, remedy: str
) -> Base:
    """A checkpoint of ours as the base of another model: the same tokens, and rows for evidence behind them."""
    llm, tokenizer, card = load_checkpoint(directory, catalogue.ids, attention=attention, remedy=remedy)
    layout = TokenLayout(card.base_vocab, card.n_items, n_evidence)
    _add_evidence_rows(llm, layout, seed)
    titles = tokenize_distinct(tokenizer, list(catalogue.titles), MAX_TITLE_TOKENS)
    defaults = defaults_of(card.base_model)
    return Base(
        card.base_model, llm, tokenizer, layout, titles, None, from_scratch=card.from_scratch, defaults=defaults
    )


def defaults_of(base_model: str) -> TrainingDefaults:
    """How a generator is trained on a preset, or on anything else."""
    return PRESETS[base_model].training if base_model in PRESETS else PRETRAINED


@torch.no_grad()
def _add_evidence_rows(llm: PreTrainedModel, layout: TokenLayout, seed: int) -> None:
    """Rows for evidence tokens behind the items, random around the mean of the words' rows."""
    llm.resize_token_embeddings(layout.size, mean_resizing=False)
    generator = torch.Generator().manual_seed(seed)
    for table in tables_of(llm):
        words = table[: layout.base_vocab].float()
        noise = torch.randn((layout.n_evidence, words.shape[1]), generator=generator) * words.std(0)
        table[layout.item_rows.stop :] = (words.mean(0) + noise).to(table.dtype)


def answer_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Token ids of the answers Yes and No: the presets' own, or the first token in which a base's two words differ."""
    vocabulary = tokenizer.get_vocab()
    if YES in vocabulary:
        return vocabulary[YES], vocabulary[NO]
    yes, no = (tokenizer(word, add_special_tokens=False).input_ids for word in ("Yes", "No"))
    for pair in zip(yes, no, strict=False):
        if pair[0] != pair[1]:
            return pair
    raise ModelError("the base's tokenizer gives Yes and No the same tokens: it cannot serve as discriminator")
