"""The discriminator: given a history and a candidate it answers Yes or No; the probability of Yes is the confidence.

Many candidates lie behind one shared history (see `packing`), in training as in scoring, so a user costs one pass. What
is known about a candidate besides (co-occurrence, text, popularity, the generator's own opinion) stands behind it as
feature tokens.

Yes and No weigh the same in the loss, however many negatives a positive has: the confidence is the probability of Yes
for a candidate that could as well be one as the other. `calibration` puts it on the scale that validation users show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.llm.bases import Base, Card, answer_tokens, catalogue_digest, load_checkpoint, save_checkpoint
from llmi2i_cli.llm.calibration import calibrate
from llmi2i_cli.llm.feature_tokens import Buckets
from llmi2i_cli.llm.finetune import TrainingOptions, fine_tune
from llmi2i_cli.llm.generate import pad_token_of, pieces_of_card
from llmi2i_cli.llm.item_model import DiscriminatorModel
from llmi2i_cli.llm.packing import TokenSequence, pack
from llmi2i_cli.llm.positions import HISTORY, Positions
from llmi2i_cli.llm.prompts import PromptPieces, build_pieces, discriminator_sequence
from llmi2i_cli.runs.processes import is_first, local_rank

BLOCK_USERS = 16  # users judged at a time: some thousand tokens, whose states a cache holds
BUCKETS = "feature_buckets.json"
CALIBRATION = "calibration.json"


class DiscriminatorExamples:
    """One sequence a position, all its candidates behind the shared history; Yes and No weigh the same in all."""

    def __init__(self, pieces: PromptPieces, positions: Positions, tokens: NDArray[np.int32], max_length: int) -> None:
        self.pieces, self.positions, self.tokens, self.max_length = pieces, positions, tokens, max_length
        n_yes = max(1, int(positions.labels.sum()))
        n_no = max(1, len(positions.labels) - n_yes)
        total = n_yes + n_no
        self.weights = np.where(positions.labels, total / (2 * n_yes), total / (2 * n_no)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.positions.users)

    def sequence(self, index: int) -> tuple[TokenSequence, NDArray[np.int64], NDArray[np.float32]]:
        positions, rows = self.positions, self.positions.rows(index)
        sequence = discriminator_sequence(
            self.pieces,
            int(positions.users[index]),
            positions.contexts.row(index)[-HISTORY:],
            positions.candidates[rows],
            self.tokens[rows],
            self.max_length,
        )
        return sequence, positions.labels[rows].astype(np.int64), self.weights[rows]


@dataclass(frozen=True)
class Discriminator:
    """A discriminator ready to judge."""

    model: DiscriminatorModel
    pieces: PromptPieces
    pad_token: int
    max_length: int


@torch.no_grad()
def judge(
    discriminator: Discriminator,
    users: NDArray[np.int64],
    contexts: Histories,
    candidate_ptr: NDArray[np.int64],
    candidates: NDArray[np.int32],
    tokens: NDArray[np.int32],
) -> NDArray[np.float32]:
    """log P(Yes) - log P(No) of every candidate, float32 (C,).

    Parameters
    ----------
    users : int64 (P,), for their profiles
    contexts : histories, a row for each of `users`
    candidate_ptr, candidates, tokens : as in `positions.Positions`; tokens int32 (C, n_features)
    """
    device = next(discriminator.model.parameters()).device
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(users), BLOCK_USERS):
        sequences = []
        for p in range(start, min(start + BLOCK_USERS, len(users))):
            rows = slice(int(candidate_ptr[p]), int(candidate_ptr[p + 1]))
            history = contexts.row(p)[-HISTORY:]
            sequences.append(
                discriminator_sequence(
                    discriminator.pieces,
                    int(users[p]),
                    history,
                    candidates[rows],
                    tokens[rows],
                    discriminator.max_length,
                )
            )
        packed = pack(sequences, discriminator.pad_token)
        odds = discriminator.model.log_odds(**{name: value.to(device) for name, value in vars(packed).items()})
        found.append(odds.cpu().numpy())
    return np.concatenate(found)


def judge_positions(discriminator: Discriminator, positions: Positions, buckets: Buckets) -> NDArray[np.float32]:
    """`judge` of all candidates of `positions`."""
    tokens = buckets.tokens(positions.features)
    return judge(
        discriminator, positions.users, positions.contexts, positions.candidate_ptr, positions.candidates, tokens
    )


def train_discriminator(
    base: Base,
    positions: Positions,
    buckets: Buckets,
    options: TrainingOptions,
    *,
    template: str,
    base_model: str,
    dropout: float,
    max_length: int,
    catalogue: Catalogue,
    profiles: list[str],
    partial: Path,
    output: Path,
    log: Path,
    resume: bool,
    on_step: Callable[[int, int, str], None],
    validation: Positions | None,
) -> dict[str, Any]:
    """Train on `positions` and write a checkpoint to `output`; the same call goes on where a killed one stopped.

    `validation` is measured after each epoch, for the log, and calibrates the confidence in the end; None leaves it
    as it was learnt.

    Returns
    -------
    facts for the manifest
    """
    torch.manual_seed(options.seed)
    yes, no = answer_tokens(base.tokenizer)
    model = DiscriminatorModel(
        base.llm,
        base.layout,
        dropout=dropout,
        titles=base.title_words,
        yes_token=yes,
        no_token=no,
    )
    pieces = build_pieces(
        base.tokenizer,
        base.layout,
        template,
        profiles=profiles,
        titles=None if base.from_scratch else base.titles,
    )
    pieces.check_room(max_length, positions.features.shape[1])
    discriminator = Discriminator(model, pieces, pad_token_of(base.tokenizer), max_length)
    outcome = fine_tune(
        model,
        DiscriminatorExamples(pieces, positions, buckets.tokens(positions.features), max_length),
        options,
        directory=partial,
        log=log,
        pad_token=discriminator.pad_token,
        resume=resume,
        on_step=on_step,
        evaluate=None if validation is None else lambda: _figures(discriminator, validation, buckets),
    )
    card = Card(
        role="discriminator",
        base_model=base_model,
        base_vocab=base.layout.base_vocab,
        n_items=base.layout.n_items,
        n_evidence=base.layout.n_evidence,
        catalogue=catalogue_digest(catalogue.ids),
        template=template,
        titles_in_prompt=not base.from_scratch,
        max_length=max_length,
        from_scratch=base.from_scratch,
    )
    if is_first():
        save_checkpoint(model, base, card, catalogue.ids, output)
        buckets.save(output / BUCKETS)
    facts = {}
    if validation is not None:
        user_of_each = np.repeat(validation.users, np.diff(validation.candidate_ptr))
        odds = judge_positions(discriminator, validation, buckets)
        calibration, facts["calibration"] = calibrate(odds, validation.labels, user_of_each)
        if is_first():
            calibration.save(output / CALIBRATION)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps_this_run": outcome.steps_this_run,
        "chosen_epoch": outcome.chosen_epoch,
        "validation": dict(outcome.figures),
        "positions": len(positions.users),
        "pairs": len(positions.candidates),
        "positives": int(positions.labels.sum()),
        **facts,
    }


def _figures(discriminator: Discriminator, positions: Positions, buckets: Buckets) -> dict[str, float]:
    """How well the confidence, and the generator's likelihood beside it, order each user's candidates."""
    odds = judge_positions(discriminator, positions, buckets)
    likelihood = positions.features[:, 3]
    return {
        "valid_auc": within_user_auc(odds, positions.labels, positions.candidate_ptr),
        "valid_auc_of_likelihood": within_user_auc(likelihood, positions.labels, positions.candidate_ptr),
        "valid_users": len(positions.users),
    }


def load_discriminator(
    directory: Path, catalogue: Catalogue, profiles: Sequence[str], *, attention: str = "auto"
) -> Discriminator:
    """Load what `sft-disc` wrote, ready to judge. ArtifactError if it is damaged, foreign or of another catalogue."""
    remedy = "run `llmi2i sft-disc --force`"
    attention = "sdpa" if attention == "auto" else attention  # candidates beside each other need a mask of their own
    llm, tokenizer, card = load_checkpoint(directory, catalogue.ids, attention=attention, remedy=remedy)
    yes, no = answer_tokens(tokenizer)
    model = DiscriminatorModel(llm, card.layout, yes_token=yes, no_token=no).eval()
    if torch.cuda.is_available():
        model = model.to(f"cuda:{local_rank()}", torch.bfloat16)
    return Discriminator(
        model, pieces_of_card(card, tokenizer, catalogue, profiles), pad_token_of(tokenizer), card.max_length
    )


def user_aucs(
    scores: NDArray[np.floating[Any]], labels: NDArray[np.bool_], ptr: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Of each user the share of (observed, other) candidate pairs that `scores` orders rightly, float64 (n_users,).

    Ties count half. NaN for a user who has not both kinds.
    """
    areas = np.full(len(ptr) - 1, np.nan)
    for user, (start, end) in enumerate(pairwise(ptr.tolist())):
        yes = labels[start:end]
        if yes.any() and not yes.all():
            difference = scores[start:end][yes][:, None] - scores[start:end][~yes][None]
            areas[user] = (difference > 0).mean() + 0.5 * (difference == 0).mean()
    return areas


def within_user_auc(scores: NDArray[np.floating[Any]], labels: NDArray[np.bool_], ptr: NDArray[np.int64]) -> float:
    """Mean of `user_aucs` over the users who have both kinds; NaN when none has."""
    areas = user_aucs(scores, labels, ptr)
    return float(np.nanmean(areas)) if (~np.isnan(areas)).any() else float("nan")
