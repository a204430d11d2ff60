"""Reading models as transformers has them: nothing that comes with a model is run, and no weights are made up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from llmi2i_cli.errors import ModelError
from llmi2i_cli.llm.presets import PRESETS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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


def load_pretrained(spec: str, attention: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    implementation = attention_implementation(attention)
    try:
        llm, tokenizer = read_model(spec, attn_implementation=implementation, dtype=torch.float32)
    except Exception as error:  # safetensors and tokenizers raise types of their own
        known = ", ".join(PRESETS)
        raise ModelError(
            f"{spec} is not a causal language model that can be loaded ({reason_of(error)}): "
            f"give a local directory, a hub id or a preset ({known})"
        ) from error
    if type(llm.config) in MODEL_FOR_MASKED_LM_MAPPING and not llm.config.is_decoder:
        raise ModelError(f"{spec} is a masked language model ({llm.config.model_type}): give a causal one")
    if llm.get_output_embeddings() is None:
        raise ModelError(f"{spec} has no output embeddings: it is not a causal language model")
    return llm, tokenizer


def read_model(spec: str | Path, **options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
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


def reason_of(error: Exception) -> str:
    """Why a model could not be read, in a line."""
    told = str(error).strip()
    if "trust_remote_code" in told:
        return "it needs code of its own, which llmi2i does not run"
    if "model.safetensors" in told:
        return "it has no model.safetensors, and llmi2i reads no weights that can hold code"
    return told.splitlines()[0][:200] if told else type(error).__name__
