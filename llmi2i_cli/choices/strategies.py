"""How kept candidates are joined to the real log: strategies, the orders in which they are taken, what they weigh.

A further strategy is one function that lays out the rows of the fused log (see `data.fusion.Plan`), and one row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Strategy:
    """A row of the table.

    Attributes
    ----------
    name : as in ``--strategy NAME``
    about : what it does, in a few words
    plan : dotted path of the function ``(parts, choice) -> Plan``
    copies_history : ``--copied-history`` has a meaning
    """

    name: str
    about: str
    plan: str
    copies_history: bool = False


STRATEGIES: Mapping[str, Strategy] = {
    row.name: row
    for row in (
        Strategy("append", "behind a user's own history, as in the paper", "llmi2i_cli.data.fusion:append"),
        Strategy("pseudo-user", "as a second user", "llmi2i_cli.data.fusion:pseudo_user", copies_history=True),
    )
}
DEFAULT = "pseudo-user"  # the real evidence is never diluted; without a validation split nothing tells better

# The orders in which a user's candidates are taken.
ORDERS: Mapping[str, str] = {
    "rank": "by the generator's rank",
    "confidence": "by confidence",
    "random": "by chance (a control)",
}
WEIGHTS: tuple[str, ...] = ("one", "confidence")  # what a candidate counts
