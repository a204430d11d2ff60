"""What a log is worth to the model that is served: its validation Recall@10, trained as `train-i2i` trains it.

`fuse` asks this of every way to fuse, and `sft-gen` of the candidates of every epoch. The options are those that
tuning on the real log chooses, by the same search as that of ``train-i2i --tune``; they stay as they are for all logs
that are compared, so that a log is judged and not the tuning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.models import MODELS, has_variant, parts_of
from llmi2i_cli.evaluation.retrieve import retrieve
from llmi2i_cli.evaluation.tuning import search
from llmi2i_cli.evaluation.validation import CUT_OFF, HeldOut, Lookup, best_lookup, recall_at_10, recall_by_lookup
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.training import Job, train

RECENTS, DECAYS = (1, 2, 3, 5, 10, 20), (1.0, 0.8, 0.5)  # about what decides; the evaluation looks closer


class Worth(NamedTuple):
    """Validation Recall@10 at the best lookup, of all targets and of those of the tail (NaN if there are none)."""

    lookup: Lookup
    recall: float
    tail_recall: float


@dataclass(frozen=True)
class ServedModel:
    """A model with its options and, where it is made from others, with them.

    Attributes
    ----------
    name : as in `choices.models`
    options : all of them
    parts : what it is made from, in order
    table : the neighbours, where they are the same whatever the log
    """

    name: str
    options: Mapping[str, Any]
    parts: tuple[ServedModel, ...] = ()
    table: Neighbours | None = None

    @classmethod
    def tuned(cls, name: str, job: Job, held_out: HeldOut) -> ServedModel:
        """The model with the options that tuning on the real log chooses.

        Parameters
        ----------
        job : the real log, and what else the model or its parts read
        """
        row = MODELS[name]
        parts = tuple(cls.tuned(part, job, held_out) for part, _ in parts_of(name, row.complete({}), "real"))
        on_parts = replace(job, parts=[part.neighbours(job.histories) for part in parts])

        def measure(number: int, options: dict[str, Any]) -> dict[str, float]:
            return {"recall@10": max(_recalls(train(name, on_parts, options).neighbours, held_out).values())}

        options = search(row, {}, measure).options
        table = None if has_variant(name, "fused") else train(name, job, options).neighbours
        return cls(name, options, parts, table)

    def neighbours(self, log: Histories) -> Neighbours:
        """What is served when it is trained on `log`."""
        if self.table is not None:
            return self.table
        parts = [part.neighbours(log) for part in self.parts]
        return train(self.name, Job(log, parts=parts), self.options).neighbours

    def recall(self, log: Histories, held_out: HeldOut) -> tuple[Lookup, float]:
        """The lookup with the best validation Recall@10 of the model trained on `log`, and that recall."""
        recalls = _recalls(self.neighbours(log), held_out)
        lookup = best_lookup(recalls)
        return lookup, recalls[lookup]

    def worth(self, log: Histories, held_out: HeldOut, is_tail: NDArray[np.bool_]) -> Worth:
        """What `log` is worth, and of that what falls to targets among `is_tail`, bool (n_items,)."""
        neighbours = self.neighbours(log)
        recalls = _recalls(neighbours, held_out)
        lookup, seen = best_lookup(recalls), held_out.queries
        found = retrieve(neighbours, seen, recent=lookup.recent, decay=lookup.decay, top_n=CUT_OFF, exclude=seen)
        return Worth(lookup, recalls[lookup], recall_at_10(found.ids, held_out, relevant=is_tail))

    def described(self) -> dict[str, Any]:
        """Its name and all options, for manifests."""
        return {"model": self.name, **self.options, **{part.name: part.described() for part in self.parts}}


def _recalls(neighbours: Neighbours, held_out: HeldOut) -> dict[Lookup, float]:
    return recall_by_lookup(neighbours, held_out, recents=RECENTS, decays=DECAYS)
