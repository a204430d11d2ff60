"""`llmi2i sft-gen`: fine-tune the generator on the users' train histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.errors import UsageError
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.runs.progress import notice, progress_bar
from llmi2i_cli.runs.workdir import stage_run

if TYPE_CHECKING:
    from llmi2i_cli.artifacts.prepared import PreparedLog
    from llmi2i_cli.evaluation.fused_swing import FusedSwing
    from llmi2i_cli.llm.generate import Generator

BEST_BY = "valid_recall@10_fused_swing"
REAL_SWING = "valid_recall@10_real_swing"


def sft_gen(
    workdir: Path,
    options: GeneratorOptions,
    *,
    resume: bool = True,
    examples_only: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Train on ``prepare/`` and write ``sft-gen/model/`` and ``sft-gen/log.jsonl``; returns the manifest.

    With `examples_only` nothing is trained: ``sft-gen/examples.jsonl`` gets the examples for other trainers.
    The long tail of the loss weights is `is_train_tail`: it is counted on train alone.

    With a validation split the weights of the epoch are kept whose candidates make the best Swing, and the log and the
    manifest's ``validation`` tell how that compares with a tuned Swing on the real log alone.
    """
    options.check()
    name = "sft-gen --examples-only" if examples_only else "sft-gen"
    with stage_run(workdir, name, options=options.decisive(), files=options.own_files(), force=force) as run:
        if run.up_to_date and run.manifest:
            notice(f"{name} is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.artifacts.prepared import has_split, read_prepared
        from llmi2i_cli.evaluation.fused_swing import FusedSwing
        from llmi2i_cli.evaluation.validation import read_held_out
        from llmi2i_cli.llm.generator_training import train_generator
        from llmi2i_cli.llm.training_place import TrainingPlace
        from llmi2i_cli.llm.written_examples import write_examples

        log = read_prepared(workdir)
        if examples_only:
            written = write_examples(options, log, run.output("examples.jsonl"))
            return run.publish(rows={"examples.jsonl": written})
        held_out = read_held_out(workdir, "valid").sample() if has_split(workdir, "valid") else None
        swing = FusedSwing(log.histories, held_out) if held_out is not None and len(held_out.users) else None
        if options.patience and swing is None:
            raise UsageError("--patience waits for validation figures, and there is no validation split: leave it out")
        with progress_bar("Training the generator") as bar:
            facts = train_generator(
                options,
                log,
                TrainingPlace(run.partial, resume, bar.update),
                evaluate=_validation(log, swing) if swing else None,
                best_by=BEST_BY,
            )
        if swing:
            _tell(facts["validation"])
        return run.publish(**facts)


def _validation(log: PreparedLog, swing: FusedSwing) -> Callable[[Generator], Mapping[str, float]]:
    """How good a generator is: what it finds itself, and what a Swing finds with its candidates and without."""
    import numpy as np

    from llmi2i_cli.evaluation.validation import CUT_OFF, recall_at_10
    from llmi2i_cli.llm.generate import rank_users

    def evaluate(generator: Generator) -> Mapping[str, float]:
        held_out = swing.held_out
        blocks = rank_users(
            generator, held_out.users, log.histories, log.histories, history=generator.max_length, top_n=CUT_OFF
        )
        ranked = np.concatenate([items for items, _ in blocks])
        return {
            "valid_recall@10": recall_at_10(ranked, held_out),
            "valid_recall@10_tail": recall_at_10(ranked, held_out, relevant=log.catalogue.is_train_tail),
            BEST_BY: swing.recall(held_out.users, ranked),
            REAL_SWING: swing.real_recall,
        }

    return evaluate


def _tell(figures: Mapping[str, float]) -> None:
    fused, own, real_recall = figures[BEST_BY], figures["valid_recall@10"], figures[REAL_SWING]
    notice(
        f"validation Recall@10: Swing on the real log {real_recall:.4f}, with the generator's candidates {fused:.4f} "
        f"({fused / real_recall - 1:+.1%}); the generator itself {own:.4f}"
        if real_recall
        else f"validation Recall@10: the generator {own:.4f}, a Swing with its candidates {fused:.4f}"
    )
    if fused <= real_recall:
        notice(
            "Warning: the generator's candidates do not help a Swing on validation: train longer (--epochs), on more "
            "data or from another --base-model before you serve what is made of them"
        )
