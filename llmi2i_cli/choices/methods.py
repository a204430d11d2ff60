"""The table of ways to propose candidates with the trained generator: one row each.

A further method is one file with a function (see `llm.generate.likeliest`), and one row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes
    ----------
    name : as in ``--method NAME``
    about : what it proposes, in a few words
    ranker : dotted path of the function ``(generator, histories, history, top_n) -> (users -> items and logprobs)``
    reads_others : what a user gets depends on other users' histories, too, so that it has to be asked for again
    """

    name: str
    about: str
    ranker: str
    reads_others: bool = False


METHODS: Mapping[str, Method] = {
    row.name: row
    for row in (
        Method("generator", "the items likeliest to come next", "llmi2i_cli.llm.generate:likeliest"),
        Method(
            "llm-cf",
            "what came next in the most similar histories of others",
            "llmi2i_cli.llm.llm_cf:of_others",
            reads_others=True,
        ),
    )
}
DEFAULT = "generator"
