"""A base with the prompt of its role, on its way to a checkpoint: what training has in common for both roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from llmi2i_cli.artifacts.prepared import Catalogue, PreparedLog
from llmi2i_cli.errors import UsageError
from llmi2i_cli.llm.bases import Base
from llmi2i_cli.llm.batches import Examples
from llmi2i_cli.llm.finetune import fine_tune
from llmi2i_cli.llm.finetuning_options import FineTuningOptions
from llmi2i_cli.llm.generate import pad_token_of
from llmi2i_cli.llm.item_model import ItemModel
from llmi2i_cli.llm.lora import Adapters, check_adaptable
from llmi2i_cli.llm.precision import fast_dtype
from llmi2i_cli.llm.presets import TrainingDefaults, continued_defaults, discriminator_defaults
from llmi2i_cli.llm.prompts import BARE, PromptPieces, build_pieces, read_template
from llmi2i_cli.llm.saved_models import Card, Role, catalogue_digest, save_checkpoint
from llmi2i_cli.llm.training_options import TrainingOptions
from llmi2i_cli.llm.training_place import TrainingPlace
from llmi2i_cli.runs.processes import is_first


@dataclass(frozen=True)
class Trainee:
    """A base that is to become a generator or a discriminator of a catalogue.

    `max_length` counts the tokens that a prompt may have.
    """

    role: Role
    base: Base
    log: PreparedLog
    template: str
    pieces: PromptPieces
    max_length: int

    @property
    def catalogue(self) -> Catalogue:
        return self.log.catalogue

    @property
    def defaults(self) -> TrainingDefaults:
        """How it is trained unless the user says otherwise."""
        defaults = self.base.defaults
        if self.role == "discriminator":
            defaults = discriminator_defaults(defaults, self.base.from_scratch)
        return continued_defaults(defaults) if self.base.continues else defaults

    @property
    def decoder_dtype(self) -> torch.dtype | None:
        """In which the layers multiply while it is trained; a preset's are so small that converting takes longer."""
        return None if self.base.from_scratch or fast_dtype() == torch.float32 else fast_dtype()

    @property
    def pad_token(self) -> int:
        return pad_token_of(self.base.tokenizer)

    @property
    def card(self) -> Card:
        """What the checkpoint will say of itself."""
        layout = self.base.layout
        return Card(
            role=self.role,
            base_model=self.base.spec,
            base_vocab=layout.base_vocab,
            n_items=layout.n_items,
            n_evidence=layout.n_evidence,
            catalogue=catalogue_digest(self.catalogue.ids),
            template=self.template,
            titles_in_prompt=self.pieces.titles is not None,
            max_length=self.max_length,
            from_scratch=self.base.from_scratch,
            held_out=self.log.held_out,
            held_out_by=self.log.held_out_by,
        )


def prepare_trainee(
    role: Role,
    base: Base,
    options: FineTuningOptions,
    log: PreparedLog,
) -> Trainee:
    """Build the prompts of a base; one whose training goes on keeps its template unless another one is asked for.

    UsageError if ``options.max_length`` has no room for them, or the base cannot be prompted or adapted as asked.
    """
    if options.lora:
        check_adaptable(base)
    if base.from_scratch and options.prompt not in (None, "bare"):
        raise UsageError(f"{base.spec} knows no language, so its prompt is the bare history: leave --prompt out")
    style = options.prompt or ("bare" if base.from_scratch else "titles")
    titles_in_prompt = style == "titles"
    if options.template is None and options.prompt is None and base.continues:
        template, titles_in_prompt = base.continues.template, base.continues.titles_in_prompt
    elif options.template is None and style == "bare":
        template = BARE[role]
    else:
        template = read_template(options.template, role)
    if template == BARE[role] or options.chat_template == "none":
        base.tokenizer.chat_template = None  # saved so, it is the same when the model is asked
    titles = base.titles if titles_in_prompt else None
    pieces = build_pieces(base.tokenizer, base.layout, template, profiles=log.profiles, titles=titles)
    max_length = base.max_length(options.max_length)
    pieces.check_room(max_length)
    return Trainee(role, base, log, template, pieces, max_length)


def train_and_save(
    trainee: Trainee,
    model: ItemModel,
    examples: Examples,
    training: TrainingOptions,
    place: TrainingPlace,
    evaluate: Callable[[], Mapping[str, float]] | None,
) -> dict[str, Any]:
    """Fine-tune the `model` of a trainee and write its checkpoint; returns facts for the manifest.

    `evaluate` is as in `fine_tune`.
    """
    adapters = Adapters(model, training.lora, training.lora_alpha) if training.lora else None
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    outcome = fine_tune(model, examples, training, place, pad_token=trainee.pad_token, evaluate=evaluate)
    if adapters:
        adapters.merge()
    if is_first():
        save_checkpoint(model, trainee.base.tokenizer, trainee.card, trainee.catalogue.ids, place.model)
    return {
        "base_model": trainee.base.spec,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": trained,
        "steps_this_run": outcome.steps_this_run,
        "epochs": training.epochs,
        "chosen_epoch": outcome.chosen_epoch,
        "validation": dict(outcome.figures),
        "learning_rate": training.learning_rate,
        "batch_size": training.batch_size,
        "max_length": trainee.max_length,
    }
