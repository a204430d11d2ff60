"""How a model is asked to rank, who decided it, and what was tried on validation: what stands beside every figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmi2i_cli.evaluation.validation import (
    DECAY_GRID,
    LOOKUP_WITHOUT_VALIDATION,
    RECENT_GRID,
    HeldOut,
    Lookup,
    best_lookup,
)

ASKED, BY_DEFAULT, BY_MODEL = "the option", "default without a validation split", "the model"
BY_REFIT = "the work directory whose choices were refitted"
BY_VALIDATION, ON_SAME_USERS = "validation Recall@10", ", on the same users"


@dataclass(frozen=True)
class Question:
    """What a comparison asks of every model.

    Attributes
    ----------
    recent, decay : as asked for; None leaves them to validation
    exclude_seen : leave out of the ranking what the user already has
    top_n : items to rank
    valid : the validation split, None without one
    on_valid : the figures are taken on the validation users, too
    carried : what was chosen before a refit; None without one
    """

    recent: int | None
    decay: float | None
    exclude_seen: bool
    top_n: int
    valid: HeldOut | None
    on_valid: bool
    carried: Lookup | None = None

    def choose(
        self,
        recalls: Callable[[HeldOut, Sequence[int], Sequence[float]], Mapping[Lookup, float]],
        recents: Sequence[int] = RECENT_GRID,
        decays: Sequence[float] = DECAY_GRID,
    ) -> Chosen:
        """M and decay together: what was asked for stays, what is open is the best on validation.

        Without a validation split it is what was carried over from another work directory, else the default.

        Parameters
        ----------
        recalls : validation Recall@10 of some values of M and of decay, with each other
        recents, decays : the values to choose among
        """
        is_open = [self.recent is None and len(recents) > 1, self.decay is None and len(decays) > 1]
        recents = recents if self.recent is None else (self.recent,)
        decays = decays if self.decay is None else (self.decay,)
        tried: Mapping[Lookup, float] = {}
        if any(is_open) and self.valid is not None:
            tried = recalls(self.valid, recents, decays)
            lookup, how = best_lookup(tried), BY_VALIDATION + (ON_SAME_USERS if self.on_valid else "")
        else:
            default = self.carried or LOOKUP_WITHOUT_VALIDATION
            lookup = Lookup(default.recent if is_open[0] else recents[0], default.decay if is_open[1] else decays[0])
            how = BY_REFIT if self.carried else BY_DEFAULT
        by = [how if was_open else ASKED for was_open in is_open]
        return Chosen(lookup, by[0], by[1], tried)


@dataclass(frozen=True)
class Chosen:
    """A lookup, who chose its parts, and the validation Recall@10 of what was tried."""

    lookup: Lookup
    recent_by: str
    decay_by: str
    tried: Mapping[Lookup, float] = field(default_factory=dict)


def lookup_of(protocol: Mapping[str, Any]) -> Lookup:
    """The lookup in what `Protocol.as_json` has told of an index. ValueError if there is none that can be used."""
    recent: Any = protocol.get("recent")
    decay: Any = protocol.get("decay")
    if type(recent) is not int or recent < 1 or type(decay) not in (int, float) or not 0 < decay <= 1:
        raise ValueError(f"recent {recent!r}, decay {decay!r}")
    return Lookup(recent, decay)


@dataclass(frozen=True)
class Protocol:
    """What stands beside a model's figures.

    Attributes
    ----------
    ranking : ``index``, ``user-vectors`` or ``generator``
    chosen : M and decay
    trained : whether the model was tuned, how its neighbours were searched, the options it was trained with
    top_k : neighbours per item of an index, None where there is none
    """

    ranking: str
    exclude_seen: bool
    on_valid: bool
    chosen: Chosen
    trained: Mapping[str, Any]
    top_k: int | None = None

    def as_json(self) -> dict[str, Any]:
        chosen, lookup = self.chosen, self.chosen.lookup
        tried = [{"recent": each.recent, "decay": each.decay, "recall@10": r} for each, r in chosen.tried.items()]
        by_index = {"decay": lookup.decay, "decay_chosen_by": chosen.decay_by, "top_k": self.top_k}
        return {
            "ranking": self.ranking,
            "exclude_seen": self.exclude_seen,
            **self.trained,
            "recent": lookup.recent,
            "recent_chosen_by": chosen.recent_by,
            **(by_index if self.top_k is not None else {}),
            **({"validation": tried} if tried else {}),
            "query": "train" if self.on_valid else "train and valid",
            "ranked": "all items",
        }
