"""Candidates from elsewhere, for the same filter and the same fuse: what a sceptic would put in the generator's place.

Usage: python examples/paper/sources.py SOURCE WORKDIR OUT

Writes OUT, a table like synthesize/candidates.parquet. SOURCE is one of

random        items that a user does not have, each as likely as the others
another-user  the candidates that the generator made for another user
table         the list that the blend of WORKDIR itself gives for the user, on the real log, by no LLM

A candidate's rank is its place in the user's list. Its logprob is the source's own: that of a draw at random, that of
the other user, the logarithm of the score's share in the list.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.indices import with_index
from llmi2i_cli.artifacts.prepared import read_histories, read_item_ids, read_user_ids
from llmi2i_cli.artifacts.schemas import CANDIDATES, read_artifact
from llmi2i_cli.evaluation.lookups import chosen_lookup
from llmi2i_cli.evaluation.retrieve import retrieve
from llmi2i_cli.files.tables import write_table
from llmi2i_cli.i2i.neighbour_table import read_neighbours

RECALL_NUMBER = 30  # as `synthesize` by default
SEED = 42
MADE = "synthesize/candidates.parquet"

# Rows of the log, ascending, items and logprobs, each (n_candidates,), a user's best first.
Listed = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


def random(workdir: Path, train: Histories) -> Listed:
    """Items drawn without replacement among those that a user does not have."""
    rng = np.random.default_rng(SEED)
    users = np.flatnonzero(train.lengths)
    drawn = []
    for user in users:
        is_new = np.ones(train.n_items, bool)
        is_new[train.row(user)] = False
        drawn.append(rng.permutation(np.flatnonzero(is_new))[:RECALL_NUMBER])
    items = np.concatenate(drawn).astype(np.int32)
    row_users = np.repeat(users, [len(some) for some in drawn])
    return row_users, items, np.full(len(items), -np.log(train.n_items), np.float32)


def another_user(workdir: Path, train: Histories) -> Listed:
    """Everyone gets the list of somebody else, without the items that the user has."""
    users, items, logprobs = _made(workdir)
    givers, ptr = np.unique(users, return_index=True)
    order = np.random.default_rng(SEED).permutation(len(givers))
    takers = np.empty(len(givers), np.int64)
    takers[order] = givers[np.roll(order, 1)]  # a single cycle: nobody keeps the own list
    new_users = np.repeat(takers, np.diff(np.append(ptr, len(users))))
    has = np.isin(
        new_users * train.n_items + items, train.user_of_each().astype(np.int64) * train.n_items + train.items
    )
    rows = np.flatnonzero(~has)
    rows = rows[np.argsort(new_users[rows], kind="stable")]
    return new_users[rows], items[rows], logprobs[rows]


def table(workdir: Path, train: Histories) -> Listed:
    """What the blend on the real log recommends from the train interactions."""
    lookup = chosen_lookup(workdir, "blend", "real")
    if lookup is None:
        raise SystemExit(f"Error: run `llmi2i evaluate --model blend -w {workdir}` first, which chooses M and decay")
    neighbours = read_neighbours(workdir, "blend", "real", read_item_ids(workdir))
    recent, decay = lookup
    found = retrieve(neighbours, train, recent=recent, decay=decay, top_n=RECALL_NUMBER, exclude=train)
    users, places = np.nonzero(found.ids >= 0)
    scores = np.where(found.ids >= 0, found.scores, 0).astype(np.float64)
    shares = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-12)
    return users, found.ids[users, places], np.log(np.maximum(shares[users, places], 1e-12)).astype(np.float32)


SOURCES: Mapping[str, Callable[[Path, Histories], Listed]] = {
    "random": random,
    "another-user": another_user,
    "table": table,
}


def _made(workdir: Path) -> Listed:
    """The generator's candidates."""
    frame = with_index(read_artifact(workdir, MADE), read_user_ids(workdir), "user_id", MADE)
    frame = with_index(frame, read_item_ids(workdir), "item_id", MADE).sort("user_id_index", "rank")
    users = frame["user_id_index"].to_numpy().astype(np.int64)
    return users, frame["item_id_index"].to_numpy().astype(np.int32), frame["logprob"].to_numpy()


def candidates(source: str, workdir: Path) -> pl.DataFrame:
    """The table of candidates of a source."""
    users, items, logprobs = SOURCES[source](workdir, read_histories(workdir))
    first = np.flatnonzero(np.diff(users, prepend=-1))
    ranks = np.arange(len(users)) - np.repeat(first, np.diff(np.append(first, len(users)))) + 1
    return pl.DataFrame(
        {
            "user_id": read_user_ids(workdir).gather(users),
            "item_id": read_item_ids(workdir).gather(items),
            "rank": ranks,
            "logprob": logprobs,
        }
    )


def main(arguments: list[str]) -> None:
    source, workdir, out = arguments
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_table(candidates(source, Path(workdir)), Path(out), CANDIDATES)


if __name__ == "__main__":
    main(sys.argv[1:])
