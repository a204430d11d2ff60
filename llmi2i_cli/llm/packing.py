"""Several users' token sequences in one row, and which token may attend to which.

Users are short and of unequal length; a row of the batch holds as many as fit, so next to no position is padding. A
block mask keeps them apart, and positions restart at each sequence, so packing changes nothing in the result.

Within a sequence a token attends to earlier tokens of the *shared* part (group 0) and of its own group. The generator
has one group. The discriminator puts every candidate behind one shared history as a group of its own: a candidate
sees the history and itself, and its positions go on from the history's end, just as if it stood there alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

PAD_SEGMENT = 0


@dataclass(frozen=True)
class TokenSequence:
    """One sequence before packing.

    Attributes
    ----------
    tokens : int64 (n,)
    positions : int64 (n,), position of each token for the model
    groups : int32 (n,), 0 for the shared part, 1.. for parts that do not see each other
    outputs : int64 (m,), places in the sequence at which the model's state is read
    evidence : int64 (e, n_features), tokens whose embeddings are added to that of another token
    evidence_at : int64 (e,), the place of that token
    """

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    groups: NDArray[np.int32]
    outputs: NDArray[np.int64]
    evidence: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    evidence_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class PackedRows:
    """A batch of rows; R rows of L tokens, M outputs in the order of the sequences that were packed.

    Attributes
    ----------
    input_ids, position_ids : int64 (R, L)
    segments : int32 (R, L), 0 = padding, else the number of the sequence in the batch, from 1
    groups : int32 (R, L)
    outputs : int64 (M,), indices into the flattened (R * L) positions
    evidence : int64 (E, n_features), tokens whose embeddings are added to that of another token
    evidence_at : int64 (E,), the place of that token among the flattened positions
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    segments: torch.Tensor
    groups: torch.Tensor
    outputs: torch.Tensor
    evidence: torch.Tensor
    evidence_at: torch.Tensor


def place_in_rows(lengths: Sequence[int], row_length: int) -> tuple[list[int], list[int], int]:
    """First-fit decreasing: row and offset of each sequence, and the number of rows. Depends on the lengths alone."""
    row_of, offset_of = [0] * len(lengths), [0] * len(lengths)
    filled: list[int] = []
    first_open = 0  # rows before this one are full
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        row = first_open
        while row < len(filled) and filled[row] + length > row_length:
            row += 1
        if row == len(filled):
            filled.append(0)
        row_of[index], offset_of[index] = row, filled[row]
        filled[row] += length
        while first_open < len(filled) and filled[first_open] >= row_length:
            first_open += 1
    return row_of, offset_of, len(filled)


def pack(sequences: Sequence[TokenSequence], pad_token: int, min_row_length: int = 32) -> PackedRows:
    """Pack sequences into rows as long as the longest of them (at least `min_row_length`)."""
    lengths = [len(s.tokens) for s in sequences]
    row_length = max([min_row_length, *lengths])
    row_of, offset_of, n_rows = place_in_rows(lengths, row_length)
    return _filled(sequences, row_of, offset_of, pad_token, n_rows, row_length)


def in_rows_of_their_own(
    sequences: Sequence[TokenSequence], pad_token: int, row_length: int, n_rows: int
) -> PackedRows:
    """A row for each sequence, and empty rows up to `n_rows`."""
    return _filled(sequences, range(len(sequences)), [0] * len(sequences), pad_token, n_rows, row_length)


def _filled(
    sequences: Sequence[TokenSequence],
    row_of: Sequence[int],
    offset_of: Sequence[int],
    pad_token: int,
    rows: int,
    row_length: int,
) -> PackedRows:
    input_ids = np.full((rows, row_length), pad_token, np.int64)
    position_ids = np.zeros((rows, row_length), np.int64)
    segments = np.full((rows, row_length), PAD_SEGMENT, np.int32)
    groups = np.zeros((rows, row_length), np.int32)
    starts = []
    for number, (sequence, row, offset) in enumerate(zip(sequences, row_of, offset_of, strict=True), start=1):
        part = slice(offset, offset + len(sequence.tokens))
        input_ids[row, part] = sequence.tokens
        position_ids[row, part] = sequence.positions
        segments[row, part] = number
        groups[row, part] = sequence.groups
        starts.append(row * row_length + offset)
    return PackedRows(
        input_ids=torch.from_numpy(input_ids),
        position_ids=torch.from_numpy(position_ids),
        segments=torch.from_numpy(segments),
        groups=torch.from_numpy(groups),
        outputs=_joined([start + sequence.outputs for start, sequence in zip(starts, sequences, strict=True)]),
        evidence=_joined([sequence.evidence for sequence in sequences]),
        evidence_at=_joined([start + sequence.evidence_at for start, sequence in zip(starts, sequences, strict=True)]),
    )


def _joined(parts: Sequence[NDArray[np.int64]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts) if parts else np.zeros(0, np.int64))


def attention_mask(segments: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Who sees whom, bool (R, 1, L, L): the same sequence, not later, and shared or of the same group.

    Padding sees itself, because a row of the softmax without any entry would be NaN.
    """
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    same_sequence = segments[:, :, None] == segments[:, None, :]
    reachable = (groups[:, None, :] == 0) | (groups[:, :, None] == groups[:, None, :])
    return (same_sequence & reachable & causal)[:, None]
