"""Where a model comes from and goes to: presets, pretrained causal LMs, and llmi2i's own checkpoints.

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

from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.errors import ArtifactError, ModelError, UsageError
from llmi2i_cli.files.documents import read_json
from llmi2i_cli.files.tables import write_table
from llmi2i_cli.llm.item_model import ItemModel, RaggedTokens, TokenLayout
from llmi2i_cli.llm.presets import PRESETS, PRETRAINED, Preset, TrainingDefaults
from llmi2i_cli.llm.prompts import tokenize_distinct
from llmi2i_cli.llm.word_tokenizer import NO, YES, build_word_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CARD = "llmi2i.json"
ITEM_TOKENS = "item_tokens.parquet"
Role = Literal["generator", "discriminator"]
MAX_TITLE_TOKENS = 32
VOCABULARY_MULTIPLE = 64  # of the tokens of a saved model


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


def attention_implementation(attention: str) -> str:
    """`auto` is flash_attention_2 where flash-attn imports and the device is CUDA, else sdpa.

    ModelError when flash_attention_2 is asked for where it cannot run.
    """
    from transformers.utils import is_flash_attn_2_available

    if attention == "auto":
        return "flash_attention_2" if torch.cuda.is_available() and is_flash_attn_2_available() else "sdpa"
    if attention == "flash_attention_2" and not (torch.cuda.is_available() and is_flash_attn_2_available()):
        raise ModelError(
            "flash_attention_2 needs a CUDA device and the package flash-attn: use --attention auto or sdpa"
        )
    return attention


def load_base(spec: str, catalogue: Catalogue, *, attention: str, seed: int, n_evidence: int = 0) -> Base:
    """Build a preset or load a pretrained causal LM (a local directory or a hub id), and give it item tokens.

    Raises
    ------
    ModelError : `spec` is neither a preset nor something that transformers loads as a causal LM
    """
    if spec in PRESETS:
        return _from_preset(PRESETS[spec], catalogue.n_items, catalogue.descriptions(), attention, seed, n_evidence)
    llm, tokenizer = _load_pretrained(spec, attention)
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
            f"{spec} has no configuration of a causal language model that can be read ({_reason(error)})"
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


def _load_pretrained(spec: str, attention: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    implementation = attention_implementation(attention)
    try:
        llm, tokenizer = _read_model(spec, attn_implementation=implementation, dtype=torch.float32)
    except Exception as error:  # safetensors and tokenizers raise types of their own
        known = ", ".join(PRESETS)
        raise ModelError(
            f"{spec} is not a causal language model that can be loaded ({_reason(error)}): "
            f"give a local directory, a hub id or a preset ({known})"
        ) from error
    if type(llm.config) in MODEL_FOR_MASKED_LM_MAPPING and not llm.config.is_decoder:
        raise ModelError(f"{spec} is a masked language model ({llm.config.model_type}): give a causal one")
    if llm.get_output_embeddings() is None:
        raise ModelError(f"{spec} has no output embeddings: it is not a causal language model")
    return llm, tokenizer


def _read_model(spec: str | Path, **options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer as transformers reads them; ValueError where it would make weights up.

    Nothing that comes with a model is run: no modules beside it, and no pickles, which can hold code, too.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    AutoConfig.from_pretrained(spec, trust_remote_code=False)  # tells best what is wrong, and before weights are read
    tokenizer = AutoTokenizer.from_pretrained(spec, trust_remote_code=False)
    llm, found = AutoModelForCausalLM.from_pretrained(
        spec, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **options
    )
    if found["missing_keys"]:
        raise ValueError(f"the weights lack {', '.join(sorted(found['missing_keys'])[:3])}")
    return llm, tokenizer


def _reason(error: Exception) -> str:
    """Why a model could not be read, in a line."""
    told = str(error).strip()
    if "trust_remote_code" in told:
        return "it needs code of its own, which llmi2i does not run"
    if "model.safetensors" in told:
        return "it has no model.safetensors, and llmi2i reads no weights that can hold code"
    return told.splitlines()[0][:200] if told else type(error).__name__


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


def tables_of(llm: PreTrainedModel) -> list[torch.nn.Parameter]:
    """The embeddings, (vocabulary, D), and, if it is another table, the output layer."""
    return list(dict.fromkeys((llm.get_input_embeddings().weight, llm.get_output_embeddings().weight)))


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


def save_checkpoint(model: ItemModel, base: Base, card: Card, item_ids: pl.Series, directory: Path) -> None:
    """Write a Hugging Face checkpoint with its card and its item tokens.

    Its vocabulary is padded, as kernels and servers like it, with rows of zeros.
    """
    model.merge_title_words()
    model.llm.resize_token_embeddings(base.layout.size, pad_to_multiple_of=VOCABULARY_MULTIPLE, mean_resizing=False)
    with torch.no_grad():
        for table in tables_of(model.llm):
            table[base.layout.size :] = 0
    model.llm.save_pretrained(directory)
    base.tokenizer.save_pretrained(directory)
    tokens = np.arange(base.layout.n_items, dtype=np.int64) + base.layout.base_vocab
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
        llm, tokenizer = _read_model(directory, attn_implementation=implementation)
    except Exception as error:  # safetensors and tokenizers raise types of their own
        raise ArtifactError(f"{directory} is damaged ({_reason(error)}): {remedy}") from error
    if not 0 <= llm.get_input_embeddings().num_embeddings - card.layout.size < VOCABULARY_MULTIPLE:
        raise ArtifactError(f"{directory}: its vocabulary does not fit its card: {remedy}")
    return llm, tokenizer, card
