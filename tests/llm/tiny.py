"""Tiny random models and catalogues for the tests of the LLM part: seconds for all of them on one core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.llm.item_model import TokenLayout
from llmi2i_cli.llm.presets import TrainingDefaults
from llmi2i_cli.llm.prompts import read_template

FAMILIES = ("llama", "gpt2", "qwen2", "qwen3", "mistral")
CHAT = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
WORDS = ("red", "blue", "green", "lamp", "chair", "table", "small", "large", "oak", "steel")


def titles_of(n_items: int) -> list[str]:
    """Two to four words an item; no two items of the first hundred share them all."""
    return [
        " ".join(
            [WORDS[k % 10], WORDS[(k // 10 + 3 * k + 1) % 10], *WORDS[k % 3 : k % 3 + (k % 2)], *WORDS[7 : 7 + k % 2]]
        )
        for k in range(n_items)
    ]


def catalogue_of(titles: list[str], *, tail: tuple[int, ...] = ()) -> Catalogue:
    n_items = len(titles)
    is_tail = np.isin(np.arange(n_items), tail)
    return Catalogue(
        ids=pl.Series("item_id", [f"i{k}" for k in range(n_items)], pl.String),
        titles=pl.Series("title", titles, pl.String),
        texts=pl.Series("text", titles, pl.String),
        train_counts=np.ones(n_items, np.int64),
        is_long_tail=is_tail,
        is_train_tail=is_tail,
    )


def random_histories(n_users: int, n_items: int, seed: int, *, shortest: int = 1, longest: int = 9) -> Histories:
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, n_items, rng.integers(shortest, longest + 1)).tolist() for _ in range(n_users)]
    return Histories.from_rows(rows, n_items)


def bpe_tokenizer(*, chat: bool = False, begin: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE that has learnt the shipped templates and the titles' words."""
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    text = [read_template(None, role) for role in ("generator", "discriminator")] + titles_of(40)
    tokenizer.train_from_iterator(text, vocab_size=400, min_frequency=1, special_tokens=["<s>", "</s>"])
    special = {"bos_token": "<s>"} if begin else {}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, eos_token="</s>", **special)
    wrapped.chat_template = CHAT if chat else None
    return wrapped


def save_pretrained_base(
    folder: Path, family: str = "llama", *, chat: bool = False, begin: bool = True, tied: bool = False
) -> Path:
    """A random causal LM of a family with a trained tokenizer, as someone's checkpoint on disk."""
    tokenizer = bpe_tokenizer(chat=chat, begin=begin)
    torch.manual_seed(7)
    shape: dict[str, float]
    if family == "gpt2":
        shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 256}
        shape |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    else:
        shape = {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 512,
            "tie_word_embeddings": tied,
        }
        if family == "qwen3":
            shape["head_dim"] = 8
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=1, **shape)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # the usual 0.02 makes every state nearly the same: a lost token would go unnoticed
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(10)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def training_defaults(**changes: float) -> TrainingDefaults:
    values = {"epochs": 1, "learning_rate": 1e-2, "batch_size": 4, "max_length": 64}
    values |= {"weight_decay": 0.0, "warmup_share": 0.0, "dropout": 0.0}
    return TrainingDefaults(**(values | changes))  # type: ignore[arg-type]


def layout_of(base_vocab: int, n_items: int, n_evidence: int = 0) -> TokenLayout:
    return TokenLayout(base_vocab, n_items, n_evidence)
