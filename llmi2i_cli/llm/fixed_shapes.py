"""Asking in batches of fixed shapes, so that an answer depends on its question alone.

Matrix products of other shapes add up in another order, and with it the last bits of the result change: a user's
candidates would depend on who else is asked. Here a sequence has a row of its own, whose length follows from the
sequence's own, and a batch has as many rows as that length allows, filled up with empty ones. So whoever was asked the
same before need not be asked again (`artifacts.answers`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from llmi2i_cli.llm.packing import PackedRows, TokenSequence, in_rows_of_their_own

TOKENS_AT_ONCE = 1 << 10  # of a batch, padding included; with more, more of a last batch would be empty


def row_length_of(n_tokens: int) -> int:
    """Length of the row of a sequence: the next multiple of an eighth of the next power of two, from 8."""
    step = max(8, 1 << max(0, n_tokens - 1).bit_length() >> 3)
    return -(-max(1, n_tokens) // step) * step


def ask(
    sequences: Sequence[TokenSequence], pad_token: int, answer: Callable[[PackedRows], torch.Tensor]
) -> torch.Tensor:
    """What a model answers at the outputs of each sequence, in the order of the sequences.

    Parameters
    ----------
    answer : gives (M, ...) for the M outputs of a batch
    """
    if not sequences:
        return answer(in_rows_of_their_own([], pad_token, row_length_of(0), 1))
    lengths = np.array([row_length_of(len(sequence.tokens)) for sequence in sequences])
    found: list[torch.Tensor | None] = [None] * len(sequences)
    for row_length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == row_length).tolist()
        n_rows = max(1, TOKENS_AT_ONCE // row_length)
        for start in range(0, len(places), n_rows):
            chosen = places[start : start + n_rows]
            batch = [sequences[place] for place in chosen]
            answers = answer(in_rows_of_their_own(batch, pad_token, row_length, n_rows))
            parts = answers.split([len(sequence.outputs) for sequence in batch])
            for place, part in zip(chosen, parts, strict=True):
                found[place] = part
    return torch.cat([part for part in found if part is not None])
