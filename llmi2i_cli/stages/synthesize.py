"""`llmi2i synthesize`: let the generator propose items for every user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.artifacts.prepared_log import OnPreparedLog
from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.methods import DEFAULT, METHODS
from llmi2i_cli.errors import InputError
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import shard_label, stage_run
from llmi2i_cli.scale.runners import runner

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from llmi2i_cli.artifacts.answers import EarlierAnswers
    from llmi2i_cli.llm.generate import Generator, Ranker

CANDIDATES_PATH = "synthesize/candidates.parquet"


def synthesize(
    workdir: Path,
    *,
    method: str = DEFAULT,
    history: int = 10,
    recall_number: int = 30,
    only_users: Path | None = None,
    shards: int = 1,
    shard: int = 1,
    ray: str | None = None,
    attention: str = "auto",
    force: bool = False,
) -> dict[str, Any] | None:
    """Write ``synthesize/candidates.parquet``: at most `recall_number` unseen items for each user, by `method`.

    Reads train interactions alone. Users without any are left out: there is nothing to go on from. Who was asked the
    same of the same model in the last run keeps the rows of then, unless a run is forced. Returns the manifest, or None
    when other shards have not finished yet.

    `ray` is the address of a Ray cluster that does the work, or ``local``; the bytes are the same.
    """
    label = shard_label(shards, shard)
    with stage_run(
        workdir,
        "synthesize",
        options={
            "method": method,
            "history": history,
            "recall_number": recall_number,
            "only_users": only_users and str(only_users.resolve()),
        },
        files=[only_users] if only_users else [],
        shard=label,
        force=force,
    ) as run:
        if run.up_to_date and run.manifest:
            notice(f"synthesize is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.artifacts.schemas import CANDIDATES
        from llmi2i_cli.llm.generate import BLOCK_USERS
        from llmi2i_cli.runs.again import has_answers_of_the_same, tell_kept
        from llmi2i_cli.runs.blocks import BlockedTable, publish_in_blocks

        alone = not METHODS[method].reads_others
        keeps = not force and alone and has_answers_of_the_same(run, "sft-gen/model/", ["method", "recall_number"])
        proposals = _Proposals(workdir, method, history, recall_number, only_users, attention, keeps, BLOCK_USERS)
        n_blocks = -(-len(proposals.asked) // BLOCK_USERS)
        table = BlockedTable("candidates", n_blocks, proposals.of_block, CANDIDATES, with_questions=True)
        with runner(ray, on_gpus=True) as run_tasks:
            manifest = publish_in_blocks(
                run,
                [table],
                shards=shards,
                shard=shard,
                title="Synthesizing, blocks of users",
                runner=run_tasks,
                details=lambda: {
                    "users": len(proposals.asked),
                    "users_kept": proposals.earlier.kept(run.output("questions.parquet"), proposals.user_ids),
                },
            )
        tell_kept(manifest, "synthesize")
        return manifest


@dataclass(frozen=True)
class _Proposals(OnPreparedLog):
    """Everything that asking about a block of users needs, read when it is needed first.

    Attributes
    ----------
    keeps : who is asked the same as in the last run keeps the rows of then
    """

    method: str
    history: int
    recall_number: int
    only_users: Path | None
    attention: str
    keeps: bool
    block_users: int

    @cached_property
    def asked(self) -> NDArray[np.int64]:
        """The users who are asked about, sorted."""
        import numpy as np

        asked = np.flatnonzero(self.histories.lengths > 0)
        if self.only_users is not None:
            asked = np.intersect1d(asked, read_user_list(self.only_users, self.user_ids))
        return asked

    @cached_property
    def generator(self) -> Generator:
        from llmi2i_cli.artifacts.prepared import read_profiles
        from llmi2i_cli.llm.generate import load_generator

        model = self.workdir / "sft-gen" / "model"
        return load_generator(model, self.catalogue, read_profiles(self.workdir), attention=self.attention)

    @cached_property
    def rank_users(self) -> Ranker:
        ranker: Ranker = load(METHODS[self.method].ranker)(
            self.generator, self.histories, self.history, self.recall_number
        )
        return ranker

    @cached_property
    def earlier(self) -> EarlierAnswers:
        from llmi2i_cli.artifacts.answers import EarlierAnswers

        if self.keeps:
            return EarlierAnswers.read(self.workdir, CANDIDATES_PATH, self.user_ids)
        return EarlierAnswers.none(CANDIDATES_PATH, self.histories.n_users)

    def of_block(self, block: int) -> pl.DataFrame:
        """The rows of ``candidates.parquet`` of a block of the users, each with the digest of the question."""
        import numpy as np
        import polars as pl

        from llmi2i_cli.llm.generate import query_digest

        users = self.asked[block * self.block_users : (block + 1) * self.block_users]
        shown = ((user, self.histories.row(user)) for user in users.tolist())
        questions = np.array(
            [query_digest(self.generator, user, row[-self.history :], row) for user, row in shown], np.uint64
        )
        same = self.earlier.have(users, questions)
        asked_for = pl.DataFrame({"user_id": self.user_ids.gather(users), "question": questions})
        rows = pl.concat([self.earlier.rows(users[same]), self._ask(users[~same])])
        return rows.join(asked_for.with_row_index("place"), on="user_id").sort("place", "rank")

    def _ask(self, users: NDArray[np.int64]) -> pl.DataFrame:
        import numpy as np
        import polars as pl

        items, logprobs = self.rank_users(users.tolist())
        real = items >= 0
        rank = np.broadcast_to(np.arange(1, self.recall_number + 1, dtype=np.int32), items.shape)
        return pl.DataFrame(
            {
                "user_id": self.user_ids.gather(np.repeat(users, real.sum(1))),
                "item_id": self.catalogue.ids.gather(items[real]),
                "rank": rank[real],
                "logprob": logprobs[real],
            }
        )


def read_user_list(path: Path, user_ids: pl.Series) -> Any:
    """Indices of the users in a file, one id per line, sorted int64; InputError for one who is not in the log."""
    import numpy as np
    import polars as pl

    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # ids may hold what else Unicode breaks lines at
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a list of users, one id per line: {error}") from error
    wanted = pl.DataFrame({"user_id": [line for line in lines if line]}, schema={"user_id": pl.String})
    known = pl.DataFrame({"user_id": user_ids}).with_row_index("index")
    found = wanted.join(known, on="user_id", how="left", maintain_order="left")
    unknown = found["index"].is_null().arg_true()
    if len(unknown):
        line = unknown[0]
        raise InputError(f"{path}, entry {line + 1}: user {wanted['user_id'][line]!r} is not in prepare/users.parquet")
    if wanted.is_empty():
        raise InputError(f"{path} names no user: put one id on each line")
    return np.unique(found["index"].to_numpy().astype(np.int64))
