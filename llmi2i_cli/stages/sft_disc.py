"""`llmi2i sft-disc`: fine-tune the discriminator to tell observed interactions from others.

Its hardest and most useful negatives are the generator's own wrong guesses. But a generator has memorised what it was
trained on: asked for a train interaction it would put it first, and the discriminator would learn to trust its rank,
and nothing else. So the discriminator learns one step back in time: a second generator and all counts see every user's
train history without the last item, that item is the Yes, and the rest of the generator's list are the Nos. This is the
very question that `filter` asks later, one step on.

Validation users have no say in the weights. Half of them put the confidence on its scale (see `llm.calibration`), the
other half tell how well that went; a calibration that is given is taken as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.choices.evidence import FEATURES
from llmi2i_cli.errors import ArtifactError, UsageError
from llmi2i_cli.llm.finetuning_options import DEFAULT_BASE, DiscriminatorOptions, GeneratorOptions
from llmi2i_cli.runs.manifests import read_manifest
from llmi2i_cli.runs.processes import from_first, world_size
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import StageRun, stage_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmi2i_cli.artifacts.histories import Histories
    from llmi2i_cli.artifacts.prepared import PreparedLog
    from llmi2i_cli.llm.bases import Base
    from llmi2i_cli.llm.discriminator_training import DiscriminatorData
    from llmi2i_cli.llm.feature_tokens import Buckets
    from llmi2i_cli.llm.positions import Positions

REMEDY = "run `llmi2i sft-disc --force`"
HELD_BACK = "sft-disc/held-back/model"  # in a work directory


def sft_disc(
    workdir: Path, options: DiscriminatorOptions, *, resume: bool = True, force: bool = False
) -> dict[str, Any]:
    """Train on ``prepare/`` and write ``sft-disc/model/`` and ``sft-disc/log.jsonl``; returns the manifest.

    Without a base model it starts from the held-back generator where there is one, else from the generator's own base.
    """
    options.check()
    options.check_earlier(workdir)
    trained = _generator_manifest(workdir)
    decisive = {**options.decisive(), "generator": trained["options"], "features": list(FEATURES)}
    generator_options = _held_back_options(options, trained)
    files = [*options.own_files(), *generator_options.own_files()]
    with stage_run(workdir, "sft-disc", options=decisive, files=files, force=force) as run:
        if run.up_to_date and run.manifest:
            notice(f"sft-disc is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.artifacts.prepared import read_prepared
        from llmi2i_cli.llm.discriminator_training import DiscriminatorData, train_discriminator
        from llmi2i_cli.llm.training_place import TrainingPlace

        log = read_prepared(workdir)
        held_back = None
        if options.negatives == "generator":
            held_back = _held_back_generator(generator_options, log, run, resume)
        positions = _of_first(run.partial / "positions.npz", lambda: _positions(run, held_back, log, options))
        if not positions.labels.any():
            raise ArtifactError(
                "no example to learn from: no held-back interaction is among the generator's candidates; "
                "train the generator longer, or use --negatives uniform"
                if held_back is not None
                else "no example to learn from: no user of prepare/ has an interaction after the first: "
                "run `llmi2i prepare` on more"
            )
        validation = None
        if "valid" in log.held_out:
            asked = _of_first(run.partial / "validation.npz", lambda: _validation(workdir, log))
            validation = asked if len(asked.users) else None
        data = DiscriminatorData(log, positions, _buckets(options, positions), validation)
        base = _base(options, generator_options, held_back, data)
        with run.progress_bar("Training the discriminator") as bar:
            facts = train_discriminator(options, base, data, TrainingPlace(run.partial, resume, bar.update))
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
    """What `sft-gen` was asked for and found."""
    manifest = read_manifest(workdir / "sft-gen" / "manifest.json")
    if manifest is None or not {"chosen_epoch", "base_model"} <= manifest.keys():
        raise ArtifactError(
            f"{workdir}/sft-gen has no manifest.json of a training: run `llmi2i sft-gen -w {workdir}` first"
        )
    return manifest


def _held_back_options(options: DiscriminatorOptions, trained: Mapping[str, Any]) -> GeneratorOptions:
    """How the held-back generator is trained: as `sft-gen` has trained its own, and as long.

    Where that one went on from an earlier one, so does this: from the earlier held-back one, since the earlier
    generator itself has seen the items that are held back now.
    """
    own = GeneratorOptions.from_manifest(trained["options"])
    as_long = replace(own, stop_after=trained["chosen_epoch"])
    if own.earlier is None:
        return as_long
    if options.negatives != "generator":
        return replace(as_long, earlier=None, base_model=trained["base_model"])
    if options.earlier is None:
        raise UsageError(
            f"sft-gen went on from {own.earlier}, so the held-back generator has to: give --from WORKDIR, too"
        )
    held_back = options.earlier / HELD_BACK
    if not held_back.is_dir():
        raise ArtifactError(
            f"{held_back} is missing, and the held-back generator has to go on from it: run `llmi2i sft-disc` there "
            "with --negatives generator, or train both models here without --from"
        )
    return replace(as_long, earlier=held_back)


def _held_back_generator(options: GeneratorOptions, log: PreparedLog, run: StageRun, resume: bool) -> Path:
    """The checkpoint of a generator that knows the past alone; trained now, unless a killed run has done it already."""
    from llmi2i_cli.llm.generator_training import train_generator
    from llmi2i_cli.llm.positions import hold_back_last
    from llmi2i_cli.llm.training_place import TrainingPlace

    done = run.partial / "held-back"
    if not resume:
        from_first(lambda: shutil.rmtree(done, ignore_errors=True))
    if not from_first(done.exists):
        making = run.partial / "held-back-in-the-making"
        from_first(lambda: making.mkdir(exist_ok=True))
        past = replace(log, histories=hold_back_last(log.histories)[0])
        with run.progress_bar("Training the held-back generator") as bar:
            train_generator(options, past, TrainingPlace(making, resume, bar.update))

        def keep() -> None:
            making.replace(done)

        from_first(keep)
    from_first(lambda: shutil.rmtree(done / "checkpoints", ignore_errors=True))
    return done / "model"


def _positions(run: StageRun, held_back: Path | None, log: PreparedLog, options: DiscriminatorOptions) -> Positions:
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
            log.histories,
            "uniform" if options.negatives == "uniform" else "popularity",
            Evidence(log.histories, log.catalogue.texts).features,
            negatives_per_positive=options.negatives_per_positive,
            seed=options.seed,
        )
    past, users, items = hold_back_last(log.histories)
    describe = Evidence(past, log.catalogue.texts).features
    with run.progress_bar("Candidates of the held-back generator", -(-len(users) // BLOCK_USERS)) as bar:
        proposed = positions_of_generator(
            load_generator(held_back, log.catalogue, log.profiles),
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


def _buckets(options: DiscriminatorOptions, positions: Positions) -> Buckets:
    """How features become tokens: as the weights that training goes on from have learnt it, or fitted anew."""
    from llmi2i_cli.llm.feature_tokens import Buckets
    from llmi2i_cli.llm.judge import BUCKETS

    if options.earlier_checkpoint is None:
        return Buckets.fit(positions.features)
    found = Buckets.load(options.earlier_checkpoint / BUCKETS, REMEDY)
    if found.names != positions.features.names:
        raise ArtifactError(
            f"{options.earlier_checkpoint} was trained with other features ({', '.join(found.names)}) than there are "
            f"now ({', '.join(positions.features.names)}): leave --from out"
        )
    return found


def _base(
    options: DiscriminatorOptions, generator: GeneratorOptions, held_back: Path | None, data: DiscriminatorData
) -> Base:
    """What the discriminator starts from. Never `sft-gen`'s own weights: they have memorised the Yes examples."""
    from llmi2i_cli.llm.bases import base_from_checkpoint, load_base
    from llmi2i_cli.llm.continued import base_from_earlier
    from llmi2i_cli.llm.judge import ATTENTION

    if earlier := options.earlier_checkpoint:
        return base_from_earlier(earlier, "discriminator", data.log, attention=ATTENTION, seed=options.seed)
    catalogue, rows = data.log.catalogue, {"seed": options.seed, "n_evidence": data.buckets.n_tokens}
    if held_back is not None and options.base_model is None:
        return base_from_checkpoint(held_back, catalogue, attention=ATTENTION, remedy=REMEDY, **rows)
    return load_base(options.base_model or generator.base_model or DEFAULT_BASE, catalogue, attention=ATTENTION, **rows)


def _validation(workdir: Path, log: PreparedLog) -> Positions:
    """What the generator proposes to validation users whose next item it lists.

    For the log and the calibration, never for the weights.
    """
    from llmi2i_cli.artifacts.prepared import read_histories
    from llmi2i_cli.evaluation.validation import read_held_out
    from llmi2i_cli.i2i.evidence import Evidence
    from llmi2i_cli.llm.generate import load_generator
    from llmi2i_cli.llm.positions import LIST_LENGTH, positions_of_generator

    return positions_of_generator(
        load_generator(workdir / "sft-gen" / "model", log.catalogue, log.profiles),
        log.histories,
        read_held_out(workdir, "valid").sample().users,
        read_histories(workdir, ("valid",)),
        Evidence(log.histories, log.catalogue.texts).features,
        negatives_per_positive=LIST_LENGTH,
        seed=0,
    )
