"""Training the generator: which sequences and weights it sees, and how it is judged while it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.llm.bases import Base, Card, catalogue_digest, load_base, save_checkpoint
from llmi2i_cli.llm.finetune import TrainingOptions, fine_tune
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.generate import Generator, pad_token_of
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.item_sampler import ItemSampler
from llmi2i_cli.llm.packing import TokenSequence
from llmi2i_cli.llm.presets import TrainingDefaults
from llmi2i_cli.llm.prompts import BARE, PromptPieces, build_pieces, generator_sequence, read_template
from llmi2i_cli.runs.processes import is_first


class GeneratorExamples:
    """One sequence a user with every item a target; weight alpha where the target is of the train tail, else beta."""

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


@dataclass(frozen=True)
class PreparedGenerator:
    """A base with its prompts and resolved numbers, before training."""

    base: Base
    pieces: PromptPieces
    template: str
    defaults: TrainingDefaults
    max_length: int


def prepare_generator(options: GeneratorOptions, catalogue: Catalogue, profiles: list[str]) -> PreparedGenerator:
    """Load the base and build its prompts."""
    base = load_base(options.base_model, catalogue, attention=options.attention, seed=options.seed)
    bare = base.from_scratch and options.template is None
    template = BARE["generator"] if bare else read_template(options.template, "generator")
    titles = None if base.from_scratch else base.titles
    pieces = build_pieces(base.tokenizer, base.layout, template, profiles=profiles, titles=titles)
    max_length = base.max_length(options.max_length)
    pieces.check_room(max_length)
    return PreparedGenerator(base, pieces, template, base.defaults, max_length)


def item_weights(catalogue: Catalogue, alpha: float, beta: float) -> NDArray[np.float32]:
    """Loss weight of each item as a target, float32 (n_items,): eq. (2) of the paper."""
    return np.where(catalogue.is_train_tail, np.float32(alpha), np.float32(beta)).astype(np.float32)


def tail_target_share(histories: Histories, is_train_tail: NDArray[np.bool_]) -> float:
    """The share of the train interactions that are of the tail: what alpha touches."""
    return float(is_train_tail[histories.items].mean()) if len(histories.items) else 0.0


def loss_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32."""
    if torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32


def train_generator(
    options: GeneratorOptions,
    catalogue: Catalogue,
    profiles: list[str],
    histories: Histories,
    *,
    partial: Path,
    output: Path,
    log: Path,
    resume: bool = True,
    on_step: Callable[[int, int, str], None],
    evaluate: Callable[[Generator], Mapping[str, float]] | None = None,
    best_by: str | None = None,
    stop_after: float | None = None,
) -> dict[str, Any]:
    """Train on `histories` and write a checkpoint to `output`; the same call goes on where a killed one stopped.

    Parameters
    ----------
    evaluate, best_by, stop_after : see `fine_tune` and its options
    partial : directory for the Trainer's checkpoints
    on_step : called with steps done, steps in all, and a text with the loss

    Returns
    -------
    facts for the manifest
    """
    prepared = prepare_generator(options, catalogue, profiles)
    base, defaults = prepared.base, prepared.defaults
    torch.manual_seed(options.seed)
    model = GeneratorModel(
        base.llm,
        base.layout,
        dropout=defaults.dropout,
        titles=base.title_words,
        loss_dtype=loss_dtype(),
        sampler=ItemSampler.of_counts(histories.item_counts(), options.sampled_items)
        if options.samples(catalogue.n_items)
        else None,
    )
    weights = item_weights(catalogue, options.alpha, options.beta)
    examples = GeneratorExamples(prepared.pieces, histories, weights, prepared.max_length)
    pad_token = pad_token_of(base.tokenizer)
    generator = Generator(model, prepared.pieces, pad_token, prepared.max_length)
    training = TrainingOptions(
        epochs=options.epochs or defaults.epochs,
        learning_rate=options.learning_rate or defaults.learning_rate,
        batch_size=options.batch_size or defaults.batch_size_for(len(examples)),
        weight_decay=defaults.weight_decay,
        warmup_share=defaults.warmup_share,
        seed=options.seed,
        gradient_accumulation=options.gradient_accumulation,
        deepspeed=options.deepspeed,
        checkpoint_steps=options.checkpoint_steps,
        best_by=best_by,
        patience=options.patience,
        stop_after=stop_after,
    )
    outcome = fine_tune(
        model,
        examples,
        training,
        directory=partial,
        log=log,
        pad_token=pad_token,
        resume=resume,
        on_step=on_step,
        evaluate=None if evaluate is None else lambda: evaluate(generator),
    )
    card = Card(
        role="generator",
        base_model=options.base_model,
        base_vocab=base.layout.base_vocab,
        n_items=base.layout.n_items,
        n_evidence=base.layout.n_evidence,
        catalogue=catalogue_digest(catalogue.ids),
        template=prepared.template,
        titles_in_prompt=prepared.pieces.titles is not None,
        max_length=prepared.max_length,
        from_scratch=base.from_scratch,
    )
    if is_first():
        save_checkpoint(model, base, card, catalogue.ids, output)
    return {
        "tail_target_share": tail_target_share(histories, catalogue.is_train_tail),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps_this_run": outcome.steps_this_run,
        "epochs": training.epochs,
        "chosen_epoch": outcome.chosen_epoch,
        "validation": dict(outcome.figures),
        "learning_rate": training.learning_rate,
        "batch_size": training.batch_size,
        "max_length": prepared.max_length,
    }


def write_examples(
    options: GeneratorOptions, catalogue: Catalogue, profiles: list[str], histories: Histories, path: Path
) -> int:
    """Write the training examples as JSONL for other trainers: prompt and completion as text, and the loss weight.

    One line a target, as other trainers want it: the completion is the next item's token, the prompt all before it. In
    the text an item token reads ``<item:ID>``.
    """
    import json

    prepared = prepare_generator(options, catalogue, profiles)
    weights = item_weights(catalogue, options.alpha, options.beta)
    examples = GeneratorExamples(prepared.pieces, histories, weights, prepared.max_length)
    names = [f"<item:{item_id}>" for item_id in catalogue.ids]
    layout, tokenizer = prepared.base.layout, prepared.base.tokenizer

    def text(tokens: NDArray[np.int64]) -> str:
        parts: list[str] = []
        words: list[int] = []
        for token in [*tokens.tolist(), None]:
            if token is not None and token < layout.base_vocab:
                words.append(token)
                continue
            if words:
                parts.append(tokenizer.decode(words))
                words = []
            if token is not None:
                parts.append(names[token - layout.base_vocab])
        return " ".join(parts)

    written = 0
    with path.open("w", encoding="utf-8") as handle:
        for index in range(len(examples)):
            sequence, targets, target_weights = examples.sequence(index)
            for place, target, weight in zip(sequence.outputs, targets, target_weights, strict=True):
                line = {
                    "prompt": text(sequence.tokens[: place + 1]),
                    "completion": names[target],
                    "weight": float(weight),
                }
                handle.write(json.dumps(line, ensure_ascii=False) + "\n")
                written += 1
    return written
