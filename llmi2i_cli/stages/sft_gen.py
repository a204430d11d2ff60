"""`llmi2i sft-gen`: fine-tune the generator on the users' train histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.choices.models import BEST, MODELS
from llmi2i_cli.errors import UsageError
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import stage_run

if TYPE_CHECKING:
    from llmi2i_cli.artifacts.prepared import PreparedLog
    from llmi2i_cli.evaluation.candidate_worth import CandidateWorth
    from llmi2i_cli.llm.generate import Generator

BEST_BY = "valid_recall@10_with_candidates"
REAL = "valid_recall@10_real"


def sft_gen(
    workdir: Path,
    options: GeneratorOptions,
    *,
    resume: bool = True,
    examples_only: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Train on ``prepare/`` and write ``sft-gen/model/`` and ``sft-gen/log.jsonl``; returns the manifest.

    With ``options.earlier`` an earlier generator is trained further: items are matched by their ids.
    With `examples_only` nothing is trained: ``sft-gen/examples.jsonl`` gets the examples for other trainers.
    The long tail of the loss weights is `is_train_tail`: it is counted on train alone.

    With a validation split the weights of the epoch are kept whose candidates make the best table of the model that is
    served by default, and the log and the manifest's ``validation`` tell how that compares with the real log alone.
    """
    options.check()
    options.check_earlier(workdir)
    name = "sft-gen --examples-only" if examples_only else "sft-gen"
    with stage_run(workdir, name, options=options.decisive(), files=options.own_files(), force=force) as run:
        if run.up_to_date and run.manifest:
            notice(f"{name} is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.artifacts.prepared import read_prepared
        from llmi2i_cli.evaluation.candidate_worth import CandidateWorth
        from llmi2i_cli.evaluation.validation import read_held_out
        from llmi2i_cli.llm.generator_training import train_generator
        from llmi2i_cli.llm.training_place import TrainingPlace
        from llmi2i_cli.llm.written_examples import write_examples

        log = read_prepared(workdir)
        if examples_only:
            written = write_examples(options, log, run.output("examples.jsonl"))
            return run.publish(rows={"examples.jsonl": written})
        held_out = read_held_out(workdir, "valid").sample() if "valid" in log.held_out else None
        worth = None
        if held_out is not None and len(held_out.users):
            worth = CandidateWorth(BEST, log.histories, held_out, log.catalogue.texts)
        if options.patience and worth is None:
            raise UsageError("--patience waits for validation figures, and there is no validation split: leave it out")
        with run.progress_bar("Training the generator") as bar:
            facts = train_generator(
                options,
                log,
                TrainingPlace(run.partial, resume, bar.update),
                evaluate=_validation(log, worth) if worth else None,
                best_by=BEST_BY,
            )
        if worth:
            facts["judged_by"] = worth.served.described()
            _tell(facts["validation"])
        _tell_tail(facts["tail_target_share"], options)
        return run.publish(**facts)


def training_memory(workdir: Path, options: GeneratorOptions, processes: int) -> dict[str, dict[str, int]]:
    """Bytes that `sft_gen` would take in each of some processes, by the way of training and by what for.

    Writes nothing.
    """
    options.check()
    from llmi2i_cli.artifacts.prepared import read_prepared
    from llmi2i_cli.llm.memory import memory_needed

    found = memory_needed(options, read_prepared(workdir), processes)
    return {way: {**asdict(memory), "total": memory.total} for way, memory in found.items()}


def _validation(log: PreparedLog, worth: CandidateWorth) -> Callable[[Generator], Mapping[str, float]]:
    """How good a generator is: what it finds itself, what the served model finds with its candidates, and without."""
    import numpy as np

    from llmi2i_cli.evaluation.validation import CUT_OFF, recall_at_10
    from llmi2i_cli.llm.generate import rank_users

    def evaluate(generator: Generator) -> Mapping[str, float]:
        held_out = worth.held_out
        blocks = rank_users(
            generator, held_out.users, log.histories, log.histories, history=generator.max_length, top_n=CUT_OFF
        )
        ranked = np.concatenate([items for items, _ in blocks])
        return {
            "valid_recall@10": recall_at_10(ranked, held_out),
            "valid_recall@10_tail": recall_at_10(ranked, held_out, relevant=log.catalogue.is_train_tail),
            BEST_BY: worth.recall(held_out.users, ranked),
            REAL: worth.real_recall,
        }

    return evaluate


def _tell_tail(share: float, options: GeneratorOptions) -> None:
    if share > 0:
        notice(f"--alpha {options.alpha:g} weighed {share:.1%} of the targets, those in the long tail")
    elif options.alpha != options.beta:
        notice("Warning: no target is in the long tail, so --alpha weighed none: raise --tail-fraction of prepare")


def _tell(figures: Mapping[str, float]) -> None:
    fused, own, real_recall = figures[BEST_BY], figures["valid_recall@10"], figures[REAL]
    notice(
        f"validation Recall@10: {MODELS[BEST].label} on the real log {real_recall:.4f}, with candidates {fused:.4f} "
        f"({fused / real_recall - 1:+.1%}); the generator itself {own:.4f}"
        if real_recall
        else f"validation Recall@10: the generator {own:.4f}, {MODELS[BEST].label} with its candidates {fused:.4f}"
    )
    if fused <= real_recall:
        notice(
            "Warning: the generator's candidates do not help the table on validation: train longer (--epochs), on more "
            "data or from another --base-model before you serve what is made from them"
        )
