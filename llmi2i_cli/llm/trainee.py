"""A base with the prompt of its role, on its way to a checkpoint: what training has in common for both roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.llm.bases import Base, Card, Role, catalogue_digest, save_checkpoint
from llmi2i_cli.llm.batches import Examples
from llmi2i_cli.llm.finetune import fine_tune
from llmi2i_cli.llm.finetuning_options import FineTuningOptions
from llmi2i_cli.llm.generate import pad_token_of
from llmi2i_cli.llm.item_model import ItemModel
from llmi2i_cli.llm.prompts import BARE, PromptPieces, build_pieces, read_template
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
    catalogue: Catalogue
    template: str
    pieces: PromptPieces
    max_length: int

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
        )


def prepare_trainee(
    role: Role,
    base: Base,
    options: FineTuningOptions,
    catalogue: Catalogue,
    profiles: Sequence[str],
) -> Trainee:
    """Build the prompts of a base. UsageError if ``options.max_length`` has no room for them."""
    bare = base.from_scratch and options.template is None
    template = BARE[role] if bare else read_template(options.template, role)
    titles = None if base.from_scratch else base.titles
    pieces = build_pieces(base.tokenizer, base.layout, template, profiles=profiles, titles=titles)
    max_length = base.max_length(options.max_length)
    pieces.check_room(max_length)
    return Trainee(role, base, catalogue, template, pieces, max_length)


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
    outcome = fine_tune(model, examples, training, place, pad_token=trainee.pad_token, evaluate=evaluate)
    if is_first():
        save_checkpoint(model, trainee.base, trainee.card, trainee.catalogue.ids, place.model)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps_this_run": outcome.steps_this_run,
        "epochs": training.epochs,
        "chosen_epoch": outcome.chosen_epoch,
        "validation": dict(outcome.figures),
        "learning_rate": training.learning_rate,
        "batch_size": training.batch_size,
        "max_length": trainee.max_length,
    }
