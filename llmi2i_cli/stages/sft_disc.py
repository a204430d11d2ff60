"""`llmi2i sft-disc`: fine-tune the discriminator to tell observed interactions from others.

Its hardest and most useful negatives are the generator's own wrong guesses. But a generator has memorised what it was
trained on: asked for a train interaction it would put it first, and the discriminator would learn to trust its rank,
and nothing else. So the discriminator learns one step back in time: a second generator and all counts see every user's
train history without the last item, that item is the Yes, and the rest of the generator's list are the Nos. This is the
very question that `filter` asks later, one step on.

Validation users have no say in the weights. Half of them put the confidence on its scale (see `llm.calibration`), the
other half tell how well that went.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.llm.finetuning_options import DiscriminatorOptions, GeneratorOptions
from llmi2i_cli.runs.manifests import read_manifest
from llmi2i_cli.runs.processes import from_first, world_size
from llmi2i_cli.runs.progress import notice, progress_bar
from llmi2i_cli.runs.workdir import StageRun, stage_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmi2i_cli.artifacts.histories import Histories
    from llmi2i_cli.artifacts.prepared import Catalogue
    from llmi2i_cli.llm.bases import Base
    from llmi2i_cli.llm.feature_tokens import Buckets
    from llmi2i_cli.llm.positions import Positions

REMEDY = "run `llmi2i sft-disc --force`"


def sft_disc(
    workdir: Path, options: DiscriminatorOptions, *, resume: bool = True, force: bool = False
) -> dict[str, Any]:
    """Train on ``prepare/`` and write ``sft-disc/model/`` and ``sft-disc/log.jsonl``; returns the manifest.

    Without a base model it starts from the held-back generator where there is one, else from the generator's own base.
    """
    options.check()
    trained = _generator_manifest(workdir)
    decisive = {**options.decisive(), "generator": trained["options"]}
    generator_options = GeneratorOptions.from_manifest(trained["options"])
    files = [*options.own_files(), *generator_options.own_files()]
    with stage_run(workdir, "sft-disc", options=decisive, files=files, force=force) as run:
        if run.up_to_date and run.manifest:
            notice(f"sft-disc is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.artifacts.prepared import has_split, read_catalogue, read_histories, read_profiles
        from llmi2i_cli.llm.feature_tokens import Buckets
        from llmi2i_cli.llm.finetune import TrainingOptions
        from llmi2i_cli.llm.judge import train_discriminator
        from llmi2i_cli.llm.presets import discriminator_defaults
        from llmi2i_cli.llm.prompts import BARE, read_template

        catalogue, histories, profiles = read_catalogue(workdir), read_histories(workdir), read_profiles(workdir)
        held_back = None
        if options.negatives == "generator":
            held_back = _held_back_generator(
                generator_options, trained["chosen_epoch"], run, catalogue, profiles, histories, resume
            )
        positions = _of_first(
            run.partial / "positions.npz", lambda: _positions(held_back, catalogue, profiles, histories, options)
        )
        if not positions.labels.any():
            raise ArtifactError(
                "no example to learn from: no held-back interaction is among the generator's candidates; "
                "train the generator longer, or use --negatives uniform"
            )
        buckets = Buckets.fit(positions.features)
        spec = options.base_model or generator_options.base_model
        base = _base(spec, None if options.base_model else held_back, catalogue, buckets, options.seed)
        defaults = discriminator_defaults(base.defaults, base.from_scratch)
        bare = base.from_scratch and options.template is None
        validation = None
        if has_split(workdir, "valid"):
            validation = _of_first(
                run.partial / "validation.npz", lambda: _validation(workdir, catalogue, profiles, histories)
            )
        with progress_bar("Training the discriminator") as bar:
            facts = train_discriminator(
                base,
                positions,
                buckets,
                TrainingOptions(
                    epochs=options.epochs or defaults.epochs,
                    learning_rate=options.learning_rate or defaults.learning_rate,
                    batch_size=options.batch_size or defaults.batch_size,
                    weight_decay=defaults.weight_decay,
                    warmup_share=defaults.warmup_share,
                    seed=options.seed,
                    gradient_accumulation=options.gradient_accumulation,
                    deepspeed=options.deepspeed,
                    checkpoint_steps=options.checkpoint_steps,
                ),
                template=BARE["discriminator"] if bare else read_template(options.template, "discriminator"),
                base_model=spec,
                dropout=defaults.dropout,
                max_length=base.max_length(options.max_length),
                catalogue=catalogue,
                profiles=profiles,
                partial=run.partial / "checkpoints",
                output=run.output("model"),
                log=run.output("log.jsonl"),
                resume=resume,
                on_step=bar.update,
                validation=validation if validation is not None and len(validation.users) else None,
            )
        return run.publish(**facts)


def _of_first(path: Path, make: Callable[[], Positions]) -> Positions:
    """What `make` returns in the first process, in every one of them.

    A generator may round otherwise on another GPU, and all have to take the same number of steps.
    """
    from llmi2i_cli.llm.positions import Positions

    if world_size() == 1:
        return make()
    from_first(lambda: make().save(path))
    return Positions.load(path)


def _generator_manifest(workdir: Path) -> dict[str, Any]:
    """What `sft-gen` was asked for and found: the held-back generator is trained with the same options, and as long."""
    manifest = read_manifest(workdir / "sft-gen" / "manifest.json")
    if manifest is None or "chosen_epoch" not in manifest:
        raise ArtifactError(
            f"{workdir}/sft-gen has no manifest.json of a training: run `llmi2i sft-gen -w {workdir}` first"
        )
    return manifest


def _held_back_generator(
    generator_options: GeneratorOptions,
    chosen_epoch: float,
    run: StageRun,
    catalogue: Catalogue,
    profiles: list[str],
    histories: Histories,
    resume: bool,
) -> Path:
    """The checkpoint of a generator that knows the past alone; trained now, unless a killed run has done it already."""
    from llmi2i_cli.llm.generator_training import train_generator
    from llmi2i_cli.llm.positions import hold_back_last

    done = run.partial / "held-back"
    if not resume:
        from_first(lambda: shutil.rmtree(done, ignore_errors=True))
    if not from_first(done.exists):
        making = run.partial / "held-back-in-the-making"
        from_first(lambda: making.mkdir(exist_ok=True))
        with progress_bar("Training the held-back generator") as bar:
            train_generator(
                generator_options,
                catalogue,
                profiles,
                hold_back_last(histories)[0],
                partial=making / "checkpoints",
                output=making / "model",
                log=making / "log.jsonl",
                resume=resume,
                on_step=bar.update,
                stop_after=chosen_epoch,
            )
        from_first(lambda: _move(making, done))
    return done / "model"


def _move(making: Path, done: Path) -> None:
    making.replace(done)
    shutil.rmtree(done / "checkpoints")


def _positions(
    held_back: Path | None,
    catalogue: Catalogue,
    profiles: list[str],
    histories: Histories,
    options: DiscriminatorOptions,
) -> Positions:
    """What the discriminator is trained on.

    With a held-back generator: its proposals to the users whose held-back item is among them, and everyone's held-back
    item against random ones. There are many more of the latter, and what they teach serves the former, too.
    """
    from llmi2i_cli.i2i.evidence import Evidence
    from llmi2i_cli.llm.generate import BLOCK_USERS, load_generator
    from llmi2i_cli.llm.positions import (
        hold_back_last,
        joined,
        positions_at_random,
        positions_held_back,
        positions_of_generator,
    )

    if held_back is None:
        return positions_at_random(
            histories,
            "uniform" if options.negatives == "uniform" else "popularity",
            Evidence(histories, catalogue.texts).features,
            negatives_per_positive=options.negatives_per_positive,
            seed=options.seed,
        )
    past, users, items = hold_back_last(histories)
    describe = Evidence(past, catalogue.texts).features
    with progress_bar("Candidates of the held-back generator", -(-len(users) // BLOCK_USERS)) as bar:
        proposed = positions_of_generator(
            load_generator(held_back, catalogue, profiles),
            past,
            users,
            _as_rows(users, items, past),
            describe,
            negatives_per_positive=options.negatives_per_positive,
            seed=options.seed,
            on_block=bar.advance,
        )
    if not proposed.labels.any():
        return proposed  # a generator that finds nothing has nothing for the discriminator to tell apart
    drawn = positions_held_back(past, users, items, describe, negatives_per_positive=4, seed=options.seed)
    return joined(proposed, drawn)


def _as_rows(users: NDArray[np.int64], items: NDArray[np.int32], like: Histories) -> Histories:
    """One item for each of some users, as histories with a row for every user of `like`."""
    import numpy as np

    from llmi2i_cli.artifacts.histories import Histories

    ptr = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=like.n_users))]).astype(np.int64)
    return Histories(ptr, items, like.n_items)


def _base(spec: str, held_back: Path | None, catalogue: Catalogue, buckets: Buckets, seed: int) -> Base:
    """What the discriminator starts from. Never `sft-gen`'s own weights: they have memorised the Yes examples."""
    from llmi2i_cli.llm.bases import base_from_checkpoint, load_base

    if held_back is not None:
        return base_from_checkpoint(
            held_back, catalogue, attention="sdpa", seed=seed, n_evidence=buckets.n_tokens, remedy=REMEDY
        )
    return load_base(spec, catalogue, attention="sdpa", seed=seed, n_evidence=buckets.n_tokens)


def _validation(workdir: Path, catalogue: Catalogue, profiles: list[str], histories: Histories) -> Positions:
    """What the generator proposes to validation users whose next item it lists.

    For the log and the calibration, never for the weights.
    """
    from llmi2i_cli.artifacts.prepared import read_histories
    from llmi2i_cli.evaluation.validation import read_held_out
    from llmi2i_cli.i2i.evidence import Evidence
    from llmi2i_cli.llm.generate import load_generator
    from llmi2i_cli.llm.positions import LIST_LENGTH, positions_of_generator

    return positions_of_generator(
        load_generator(workdir / "sft-gen" / "model", catalogue, profiles),
        histories,
        read_held_out(workdir, "valid").sample().users,
        read_histories(workdir, ("valid",)),
        Evidence(histories, catalogue.texts).features,
        negatives_per_positive=LIST_LENGTH,
        seed=0,
    )
