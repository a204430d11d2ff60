"""The generator's training examples as text, for other trainers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.llm.bases import Base
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.generator_training import prepare_generator


def write_examples(options: GeneratorOptions, log: PreparedLog, path: Path) -> int:
    """Write the training examples as JSON lines: prompt and completion as text, and the loss weight.

    One line per target, as other trainers want it: the completion is the next item's token, the prompt all before it.
    In the text an item token reads ``<item:ID>``. Returns the number of lines.
    """
    trainee, examples = prepare_generator(options, log)
    names = [f"<item:{item_id}>" for item_id in log.catalogue.ids]
    written = 0
    with path.open("w", encoding="utf-8") as handle:
        for index in range(len(examples)):
            sequence, targets, weights = examples.sequence(index)
            for place, target, weight in zip(sequence.outputs, targets, weights, strict=True):
                prompt = _text(sequence.tokens[: place + 1], trainee.base, names)
                line = {"prompt": prompt, "completion": names[target], "weight": float(weight)}
                handle.write(json.dumps(line, ensure_ascii=False) + "\n")
                written += 1
    return written


def _text(tokens: NDArray[np.int64], base: Base, names: Sequence[str]) -> str:
    """A prompt as text: words as the tokenizer writes them, items by their names."""
    first_item = base.layout.base_vocab
    parts: list[str] = []
    for are_items, run in groupby(tokens.tolist(), key=lambda token: token >= first_item):
        some = list(run)
        parts += [names[token - first_item] for token in some] if are_items else [base.tokenizer.decode(some)]
    return " ".join(parts)
