"""Training the generator: which sequences and weights it sees, and how it is judged while it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import Catalogue, PreparedLog
from llmi2i_cli.llm.bases import Base, load_base
from llmi2i_cli.llm.continued import base_from_earlier
from llmi2i_cli.llm.finetuning_options import DEFAULT_BASE, GeneratorOptions
from llmi2i_cli.llm.generate import Generator
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.item_sampler import ItemSampler
from llmi2i_cli.llm.packing import TokenSequence
from llmi2i_cli.llm.precision import fast_dtype
from llmi2i_cli.llm.prompts import PromptPieces, generator_sequence
from llmi2i_cli.llm.trainee import Trainee, prepare_trainee, train_and_save
from llmi2i_cli.llm.training_options import resolve
from llmi2i_cli.llm.training_place import TrainingPlace
from llmi2i_cli.llm.word_vectors import start_from_vectors


class GeneratorExamples:
    """One sequence per user with every item a target; weight alpha where the target is of the train tail, else beta."""

    def __init__(
        self, pieces: PromptPieces, histories: Histories, item_weights: NDArray[np.float32], max_length: int
    ) -> None:
        self.pieces, self.histories, self.item_weights, self.max_length = pieces, histories, item_weights, max_length
        # With nothing before it, a first item is no target but only the context of the second.
        self.users = np.flatnonzero(histories.lengths >= np.where(pieces.prefix_lengths(histories.n_users), 1, 2))

    def __len__(self) -> int:
        return len(self.users)

    def sequence(self, index: int) -> tuple[TokenSequence, NDArray[np.int32], NDArray[np.float32]]:
        user = int(self.users[index])
        sequence, targets = generator_sequence(self.pieces, user, self.histories.row(user), self.max_length)
        return sequence, targets, self.item_weights[targets]


def item_weights(catalogue: Catalogue, alpha: float, beta: float) -> NDArray[np.float32]:
    """Loss weight of each item as a target, float32 (n_items,): eq. (2) of the paper."""
    return np.where(catalogue.is_train_tail, np.float32(alpha), np.float32(beta)).astype(np.float32)


def tail_target_share(histories: Histories, is_train_tail: NDArray[np.bool_]) -> float:
    """The share of the train interactions that are of the tail: what alpha touches."""
    return float(is_train_tail[histories.items].mean()) if len(histories.items) else 0.0


def prepare_generator(
    options: GeneratorOptions, log: PreparedLog, load: Callable[..., Base] = load_base
) -> tuple[Trainee, GeneratorExamples]:
    """The base with its prompts, and what it is trained on; `load` makes the base of what names it."""
    attention, seed = options.attention, options.seed
    if options.earlier_checkpoint:
        base = base_from_earlier(options.earlier_checkpoint, "generator", log, attention=attention, seed=seed)
    else:
        base = load(options.base_model or DEFAULT_BASE, log.catalogue, attention=attention, seed=seed)
    if options.word_vectors:
        start_from_vectors(base, options.word_vectors)
    trainee = prepare_trainee("generator", base, options, log)
    weights = item_weights(log.catalogue, options.alpha, options.beta)
    return trainee, GeneratorExamples(trainee.pieces, log.histories, weights, trainee.max_length)


def generator_model(trainee: Trainee, options: GeneratorOptions, histories: Histories) -> GeneratorModel:
    """The model before its first step."""
    base = trainee.base
    samples = options.samples(trainee.catalogue.n_items)
    torch.manual_seed(options.seed)
    return GeneratorModel(
        base.llm,
        base.layout,
        dropout=base.defaults.dropout,
        titles=base.title_words,
        decoder_dtype=trainee.decoder_dtype,
        loss_dtype=fast_dtype(),
        sampler=ItemSampler.of_counts(histories.item_counts(), options.sampled_items) if samples else None,
    )


def train_generator(
    options: GeneratorOptions,
    log: PreparedLog,
    place: TrainingPlace,
    *,
    evaluate: Callable[[Generator], Mapping[str, float]] | None = None,
    best_by: str | None = None,
) -> dict[str, Any]:
    """Train on the histories of `log` and write a checkpoint; the same call goes on where a killed one stopped.

    Parameters
    ----------
    evaluate, best_by : see `fine_tune` and its options

    Returns
    -------
    facts for the manifest
    """
    trainee, examples = prepare_generator(options, log)
    model = generator_model(trainee, options, log.histories)
    generator = Generator(model, trainee.pieces, trainee.pad_token, trainee.max_length)
    training = resolve(
        options,
        trainee.defaults,
        len(examples),
        best_by=best_by,
        patience=options.patience,
        stop_after=options.stop_after,
    )
    figures = None if evaluate is None else lambda: evaluate(generator)
    facts = train_and_save(trainee, model, examples, training, place, figures)
    return {"tail_target_share": tail_target_share(log.histories, log.catalogue.is_train_tail), **facts}
