"""A prepared log for the benchmarks of the language models, and a generator on it as `sft-gen` would build it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import Catalogue, PreparedLog, read_catalogue, read_histories, read_profiles
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.generate import Generator, rank_users
from llmi2i_cli.llm.generator_training import GeneratorExamples, prepare_generator
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.precision import fast_dtype
from llmi2i_cli.llm.presets import TrainingDefaults
from llmi2i_cli.stages.prepare import prepare
from llmi2i_cli.stages.simulate import simulate

OPTIONS = GeneratorOptions()


def prepare_shop(data: Path | None, workdir: Path) -> None:
    """Prepare the log of `data` (sequences.txt, items.csv), or of a simulated shop, in `workdir`."""
    if data is not None:
        prepare([data / "sequences.txt"], items=[data / "items.csv"], workdir=workdir)
        return
    simulate(workdir / "log", users=20_000, items=10_000, interactions=180_000)
    prepare([workdir / "log" / "interactions.parquet"], items=[workdir / "log" / "items.parquet"], workdir=workdir)


@dataclass(frozen=True)
class Shop:
    """Catalogue, train histories and validation items of a random sample of users."""

    catalogue: Catalogue
    histories: Histories
    validation: Histories
    profiles: list[str]

    @classmethod
    def read(cls, workdir: Path, n_users: int = 0) -> Shop:
        """All users, or `n_users` of them."""
        histories, validation = read_histories(workdir), read_histories(workdir, ("valid",))
        profiles = read_profiles(workdir)
        if n_users and n_users < histories.n_users:
            chosen = np.sort(np.random.default_rng(0).choice(histories.n_users, n_users, replace=False))
            histories, validation = histories.take(chosen), validation.take(chosen)
            profiles = [profiles[user] for user in chosen]
        return cls(read_catalogue(workdir), histories, validation, profiles)

    def recall(self, generator: Generator) -> dict[str, float]:
        """Validation Recall@10 of a generator's own lists, of all targets and of those in the train tail."""
        from llmi2i_cli.evaluation.metrics import distinct_items
        from llmi2i_cli.evaluation.validation import HeldOut, recall_at_10  # loads Numba: not while memory counts

        users = np.flatnonzero((self.validation.lengths > 0) & (self.histories.lengths > 0))
        generator.model.eval()
        blocks = rank_users(generator, users, self.histories, self.histories, history=generator.max_length, top_n=10)
        ranked = np.concatenate([items for items, _ in blocks])
        held_out = HeldOut(users, self.histories.take(users), distinct_items(self.validation.take(users)))
        of_tail = recall_at_10(ranked, held_out, relevant=self.catalogue.is_train_tail)
        return {"Recall@10": recall_at_10(ranked, held_out), "of targets in the train tail": of_tail}

    def without_text(self) -> Shop:
        """The same, all titles and texts empty."""
        nothing = pl.Series([""] * self.catalogue.n_items, dtype=pl.String)
        return replace(self, catalogue=replace(self.catalogue, titles=nothing, texts=nothing))


@dataclass(frozen=True)
class Training:
    """The default preset on a shop, before its first step."""

    generator: Generator
    examples: GeneratorExamples
    defaults: TrainingDefaults

    @property
    def model(self) -> GeneratorModel:
        return self.generator.model

    @property
    def users_per_step(self) -> int:
        return self.defaults.batch_size_for(len(self.examples))

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.examples) // self.users_per_step)


def default_training(shop: Shop, make_model: Callable[..., GeneratorModel] = GeneratorModel) -> Training:
    """Everything that `sft-gen` has when it starts to train with its defaults."""
    trainee, examples = prepare_generator(OPTIONS, PreparedLog(shop.catalogue, shop.profiles, shop.histories))
    torch.manual_seed(OPTIONS.seed)
    base = trainee.base
    model = make_model(
        base.llm, base.layout, dropout=base.defaults.dropout, titles=base.title_words, loss_dtype=fast_dtype()
    )
    generator = Generator(model, trainee.pieces, trainee.pad_token, trainee.max_length)
    return Training(generator, examples, base.defaults)
