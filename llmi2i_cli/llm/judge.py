"""The discriminator: given a history and a candidate it answers Yes or No; the probability of Yes is the confidence.

Many candidates lie behind one shared history (see `packing`), in training as in scoring, so a user costs one pass. What
is known about a candidate besides (co-occurrence, text, popularity, the generator's own opinion) are feature tokens,
whose embeddings are added to that of its item token: a candidate of a bare prompt is one token, and its answer is read
there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from llmi2i_cli.artifacts.answers import question_digest
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.llm.bases import answer_tokens
from llmi2i_cli.llm.feature_tokens import Buckets
from llmi2i_cli.llm.fixed_shapes import ask
from llmi2i_cli.llm.generate import pad_token_of, pieces_of_card
from llmi2i_cli.llm.inference import ready_to_ask
from llmi2i_cli.llm.item_model import DiscriminatorModel
from llmi2i_cli.llm.packing import PackedRows, TokenSequence
from llmi2i_cli.llm.positions import HISTORY, Positions
from llmi2i_cli.llm.prompts import PromptPieces, discriminator_sequence
from llmi2i_cli.llm.saved_models import load_checkpoint

BLOCK_USERS = 1024  # users whose prompts are in memory at a time
ATTENTION = "sdpa"  # flash attention has no mask that would keep candidates behind one history apart
BUCKETS = "feature_buckets.json"
CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class Discriminator:
    """A discriminator ready to judge."""

    model: DiscriminatorModel
    pieces: PromptPieces
    pad_token: int
    max_length: int


def questions_about(
    discriminator: Discriminator,
    users: NDArray[np.int64],
    contexts: Histories,
    candidate_ptr: NDArray[np.int64],
    candidates: NDArray[np.int32],
    tokens: NDArray[np.int32],
) -> Iterator[TokenSequence]:
    """The prompt of each of `users`, about all of the user's candidates.

    Parameters
    ----------
    users : int64 (P,), for their profiles
    contexts : histories, a row for each of `users`
    candidate_ptr, candidates, tokens : as in `positions.Positions`; tokens int32 (C, n_features)
    """
    for p, user in enumerate(users.tolist()):
        rows = slice(int(candidate_ptr[p]), int(candidate_ptr[p + 1]))
        yield discriminator_sequence(
            discriminator.pieces,
            user,
            contexts.row(p)[-HISTORY:],
            candidates[rows],
            tokens[rows],
            discriminator.max_length,
        )


@torch.no_grad()
def answers(discriminator: Discriminator, questions: Iterable[TokenSequence]) -> NDArray[np.float32]:
    """log P(Yes) - log P(No) of every candidate of the `questions`, in their order, float32."""
    device = next(discriminator.model.parameters()).device

    def answer(rows: PackedRows) -> torch.Tensor:
        return discriminator.model.log_odds(**{name: value.to(device) for name, value in vars(rows).items()})

    found, questions = [np.zeros(0, np.float32)], iter(questions)
    while some := list(itertools.islice(questions, BLOCK_USERS)):
        found.append(ask(some, discriminator.pad_token, answer).cpu().numpy())
    return np.concatenate(found)


def digests_of(questions: Iterable[TokenSequence]) -> NDArray[np.uint64]:
    """What tells questions apart, uint64, one each."""
    return np.array([question_digest([each.tokens, each.groups, each.evidence]) for each in questions], np.uint64)


def judge_positions(discriminator: Discriminator, positions: Positions, buckets: Buckets) -> NDArray[np.float32]:
    """`answers` about all candidates of `positions`."""
    tokens = buckets.tokens(positions.features)
    asked = (positions.users, positions.contexts, positions.candidate_ptr, positions.candidates, tokens)
    return answers(discriminator, questions_about(discriminator, *asked))


def load_discriminator(directory: Path, catalogue: Catalogue, profiles: Sequence[str]) -> Discriminator:
    """Load what `sft-disc` wrote, ready to judge. ArtifactError if it is damaged, foreign or of another catalogue."""
    remedy = "run `llmi2i sft-disc --force`"
    llm, tokenizer, card = load_checkpoint(directory, catalogue.ids, attention=ATTENTION, remedy=remedy)
    yes, no = answer_tokens(tokenizer)
    model = ready_to_ask(DiscriminatorModel(llm, card.layout, yes_token=yes, no_token=no))
    return Discriminator(
        model, pieces_of_card(card, tokenizer, catalogue, profiles), pad_token_of(tokenizer), card.max_length
    )
