"""Training the discriminator: its examples and their weights, how it is judged while it trains, its calibration.

Yes and No weigh the same in the loss, however many negatives a positive has: the confidence is the probability of Yes
for a candidate that could as well be one as the other. `calibration` puts it on the scale that validation users show.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.choices.evidence import LIKELIHOOD
from llmi2i_cli.llm.auc import within_user_auc
from llmi2i_cli.llm.bases import Base, answer_tokens
from llmi2i_cli.llm.calibration import Calibration, calibrate
from llmi2i_cli.llm.feature_tokens import Buckets
from llmi2i_cli.llm.finetuning_options import DiscriminatorOptions
from llmi2i_cli.llm.inference import ready_to_ask
from llmi2i_cli.llm.item_model import DiscriminatorModel
from llmi2i_cli.llm.judge import BUCKETS, CALIBRATION, Discriminator, judge_positions
from llmi2i_cli.llm.packing import TokenSequence
from llmi2i_cli.llm.positions import HISTORY, Positions
from llmi2i_cli.llm.prompts import PromptPieces, discriminator_sequence
from llmi2i_cli.llm.trainee import Trainee, prepare_trainee, train_and_save
from llmi2i_cli.llm.training_options import resolve
from llmi2i_cli.llm.training_place import TrainingPlace
from llmi2i_cli.runs.processes import from_first, is_first


class DiscriminatorExamples:
    """One sequence per position, all its candidates behind the shared history; Yes and No weigh the same in all."""

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
class DiscriminatorData:
    """What a discriminator learns from.

    Attributes
    ----------
    positions : what it is trained on
    buckets : how the features of all positions become tokens
    validation : measured after each epoch, for the log, and calibrates the confidence in the end; None leaves it as it
        was learnt
    """

    log: PreparedLog
    positions: Positions
    buckets: Buckets
    validation: Positions | None


def discriminator_model(trainee: Trainee, seed: int) -> DiscriminatorModel:
    """The model before its first step."""
    base = trainee.base
    yes, no = answer_tokens(base.tokenizer)
    torch.manual_seed(seed)
    return DiscriminatorModel(
        base.llm,
        base.layout,
        dropout=trainee.defaults.dropout,
        titles=base.title_words,
        decoder_dtype=trainee.decoder_dtype,
        yes_token=yes,
        no_token=no,
    )


def train_discriminator(
    options: DiscriminatorOptions, base: Base, data: DiscriminatorData, place: TrainingPlace
) -> dict[str, Any]:
    """Train on the positions of `data` and write a checkpoint; the same call goes on where a killed one stopped.

    Returns
    -------
    facts for the manifest
    """
    log, positions, buckets, validation = data.log, data.positions, data.buckets, data.validation
    trainee = prepare_trainee("discriminator", base, options, log)
    model = discriminator_model(trainee, options.seed)
    discriminator = Discriminator(model, trainee.pieces, trainee.pad_token, trainee.max_length)
    examples = DiscriminatorExamples(trainee.pieces, positions, buckets.tokens(positions.features), trainee.max_length)
    training = resolve(options, trainee.defaults, len(examples))
    figures = None if validation is None else lambda: order_figures(discriminator, validation, buckets)
    facts = train_and_save(trainee, model, examples, training, place, figures)
    if is_first():
        buckets.save(place.model / BUCKETS)
    if options.calibration is not None:
        given = Calibration(*options.calibration)
        if is_first():
            given.save(place.model / CALIBRATION)
        facts["calibration"] = asdict(given)
    elif validation is not None:
        facts["calibration"] = from_first(lambda: calibrate_checkpoint(discriminator, validation, buckets, place))
    return {
        **facts,
        "positions": len(positions.users),
        "pairs": len(positions.candidates),
        "positives": int(positions.labels.sum()),
    }


def order_figures(discriminator: Discriminator, validation: Positions, buckets: Buckets) -> dict[str, float]:
    """How well the confidence, and the generator's likelihood beside it, order each user's candidates."""
    odds = judge_positions(discriminator, validation, buckets)
    likelihood = validation.features[LIKELIHOOD]
    return {
        "valid_auc": within_user_auc(odds, validation.labels, validation.candidate_ptr),
        "valid_auc_of_likelihood": within_user_auc(likelihood, validation.labels, validation.candidate_ptr),
        "valid_users": len(validation.users),
    }


def calibrate_checkpoint(
    discriminator: Discriminator, validation: Positions, buckets: Buckets, place: TrainingPlace
) -> dict[str, Any]:
    """Write the calibration of the confidence beside the saved model; returns its figures.

    The `discriminator` judges as it will be loaded by `filter`, and stays so: of other precision are other log-odds.
    """
    ready_to_ask(discriminator.model)
    user_of_each = np.repeat(validation.users, np.diff(validation.candidate_ptr))
    odds = judge_positions(discriminator, validation, buckets)
    calibration, figures = calibrate(odds, validation.labels, user_of_each)
    calibration.save(place.model / CALIBRATION)
    return figures
