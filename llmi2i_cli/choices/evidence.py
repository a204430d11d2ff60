"""The table of evidence: what a discriminator reads of a candidate besides history and candidate, one row each.

A further feature is one file with a function of the log that returns a function of candidates (see `i2i.evidence`), and
one row here: `sft-disc` learns from it, its checkpoint names it, and `filter` computes what the checkpoint names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LIKELIHOOD = "logprob"  # the generator's own order of a user's candidates


@dataclass(frozen=True)
class Feature:
    """A row of the table.

    Attributes
    ----------
    name : as checkpoints record it
    about : what it is, in a few words
    compute : dotted path of the function ``(histories, texts) -> (candidates -> column)``
    from_generator : the generator's opinion; not known where it was not asked
    """

    name: str
    about: str
    compute: str
    from_generator: bool = False


FEATURES: Mapping[str, Feature] = {
    row.name: row
    for row in (
        Feature("bm25", "bought together with the recent items", "llmi2i_cli.i2i.feature_bm25:bm25"),
        Feature("text", "likeness of text with the recent items", "llmi2i_cli.i2i.feature_text:text"),
        Feature("popularity", "how often others bought it", "llmi2i_cli.i2i.feature_popularity:popularity"),
        Feature(LIKELIHOOD, "log-likelihood", "llmi2i_cli.i2i.feature_generator:logprob", from_generator=True),
        Feature("rank", "place in the list", "llmi2i_cli.i2i.feature_generator:rank", from_generator=True),
    )
}
