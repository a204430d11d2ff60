"""The table of ways to propose candidates with the trained generator: a row each.

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
    """

    name: str
    about: str
    ranker: str


METHODS: Mapping[str, Method] = {
    row.name: row
    for row in (
        Method("generator", "the items likeliest to come next", "llmi2i_cli.llm.generate:likeliest"),
        Method("llm-cf", "what came next in the most similar histories of others", "llmi2i_cli.llm.llm_cf:of_others"),
    )
}
DEFAULT = "generator"
