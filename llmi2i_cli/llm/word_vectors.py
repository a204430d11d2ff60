"""A preset's words, started from vectors that somebody has trained on much more text (word2vec, GloVe, fastText)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from llmi2i_cli.errors import InputError, UsageError
from llmi2i_cli.llm.bases import Base

FEWEST_WORDS = 2  # that must be found: of one there are no directions


@torch.no_grad()
def start_from_vectors(base: Base, path: Path) -> int:
    """Give the rows of a preset's words the directions of their vectors; returns how many words have one.

    The vectors are centred and turned so that the directions in which they differ most come first; of these the model
    has as many as it is wide. They are scaled to the spread that the rows have. Other words keep their random rows.

    Raises
    ------
    InputError : the file is not one of lines ``word number number ...``, or has next to none of the words
    UsageError : the base is not a fresh preset
    """
    if base.title_words is None or base.continues:
        raise UsageError(f"--word-vectors starts the words of a preset, and {base.spec} knows its own: leave it out")
    vocabulary = base.tokenizer.get_vocab()
    words, vectors = _read(path, vocabulary)
    if len(words) < FEWEST_WORDS:
        raise InputError(
            f"{path} has vectors of {len(words)} of the {len(vocabulary)} words: take one in their language"
        )
    table = base.llm.get_input_embeddings().weight
    rows = torch.tensor([vocabulary[word] for word in words])
    table[rows] = torch.from_numpy(_as_wide(vectors, table[rows].numpy())).to(table.dtype)
    return len(words)


def _as_wide(vectors: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The leading principal components of `vectors`, (n, d), in the place of as many columns of `rows`, (n, D)."""
    centred = vectors - vectors.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    kept = directions[: rows.shape[1]]
    kept *= np.sign(kept[np.arange(len(kept)), np.abs(kept).argmax(1)])[:, None]  # a direction has no sign of its own
    components = centred @ kept.T
    found = rows.copy()
    found[:, : len(kept)] = components * (rows.std() / components.std())
    return found


def _read(path: Path, wanted: dict[str, int]) -> tuple[list[str], NDArray[np.float32]]:
    """The wanted words of a text file and their vectors, float32 (n, d); the first counts of each word."""
    found: dict[str, NDArray[np.float32]] = {}
    width = None
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                word, *values = line.rstrip().split(" ")
                if number == 1 and len(values) == 1:
                    continue  # word2vec's header, words and width
                width = width or len(values)
                if word in wanted and word not in found:
                    found[word] = _vector(values, width, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as word vectors: {error}") from error
    return list(found), np.array(list(found.values()), np.float32).reshape(len(found), -1)


def _vector(values: list[str], width: int, where: str) -> NDArray[np.float32]:
    try:
        vector = np.array(values, np.float32)
    except ValueError:
        vector = np.zeros(0, np.float32)
    if len(vector) != width or not np.isfinite(vector).all():
        raise InputError(f"{where}: not a word and {width} numbers, as in the lines before it")
    return vector
