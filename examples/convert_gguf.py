"""Make a Hugging Face checkpoint (safetensors) of a causal language model in a GGUF file.

Usage: python examples/convert_gguf.py FILE.gguf DIRECTORY     needs torch, transformers and gguf
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging


def main(source: Path, target: Path) -> None:
    """Read the quantised weights as float32 and save them, with the tokenizer, as any other tool reads them."""
    logging.disable_progress_bar()
    read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    read.config.__dict__.pop("quantization_config", None)
    model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)  # what was read refuses to be saved
    model.load_state_dict(read.state_dict())
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
