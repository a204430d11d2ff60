"""`llmi2i synthesize`: let the generator propose items for every user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.methods import DEFAULT, METHODS
from llmi2i_cli.errors import InputError
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import shard_label, stage_run

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

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
    attention: str = "auto",
    force: bool = False,
) -> dict[str, Any] | None:
    """Write ``synthesize/candidates.parquet``: at most `recall_number` unseen items for each user, by `method`.

    Reads train interactions alone. Users without any are left out: there is nothing to go on from. Who was asked the
    same of the same model in the last run keeps the rows of then, unless a run is forced. Returns the manifest, or None
    when other shards have not finished yet.
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
        import numpy as np
        import polars as pl

        from llmi2i_cli.artifacts.answers import EarlierAnswers
        from llmi2i_cli.artifacts.prepared import read_catalogue, read_histories, read_profiles, read_user_ids
        from llmi2i_cli.artifacts.schemas import CANDIDATES
        from llmi2i_cli.llm.generate import BLOCK_USERS, load_generator, query_digest
        from llmi2i_cli.runs.again import has_answers_of_the_same, tell_kept
        from llmi2i_cli.runs.blocks import BlockedTable, publish_in_blocks

        catalogue, user_ids, profiles = read_catalogue(workdir), read_user_ids(workdir), read_profiles(workdir)
        histories = read_histories(workdir)
        generator = load_generator(workdir / "sft-gen" / "model", catalogue, profiles, attention=attention)
        asked = np.flatnonzero(histories.lengths > 0)
        if only_users is not None:
            asked = np.intersect1d(asked, read_user_list(only_users, user_ids))
        rank_users = load(METHODS[method].ranker)(generator, histories, history, recall_number)

        earlier = EarlierAnswers.none(CANDIDATES_PATH, histories.n_users)
        alone = not METHODS[method].reads_others
        if not force and alone and has_answers_of_the_same(run, "sft-gen/model/", ["method", "recall_number"]):
            earlier = EarlierAnswers.read(workdir, CANDIDATES_PATH, user_ids)

        def make(block: int) -> pl.DataFrame:
            users = asked[block * BLOCK_USERS : (block + 1) * BLOCK_USERS]
            shown = ((user, histories.row(user)) for user in users.tolist())
            questions = np.array([query_digest(generator, u, row[-history:], row) for u, row in shown], np.uint64)
            same = earlier.have(users, questions)
            asked_for = pl.DataFrame({"user_id": user_ids.gather(users), "question": questions}).with_row_index("place")
            rows = pl.concat([earlier.rows(users[same]), propose(users[~same])])
            return rows.join(asked_for, on="user_id").sort("place", "rank")

        def propose(users: NDArray[np.int64]) -> pl.DataFrame:
            items, logprobs = rank_users(users.tolist())
            real = items >= 0
            rank = np.broadcast_to(np.arange(1, recall_number + 1, dtype=np.int32), items.shape)
            return pl.DataFrame(
                {
                    "user_id": user_ids.gather(np.repeat(users, real.sum(1))),
                    "item_id": catalogue.ids.gather(items[real]),
                    "rank": rank[real],
                    "logprob": logprobs[real],
                }
            )

        table = BlockedTable("candidates", -(-len(asked) // BLOCK_USERS), make, CANDIDATES, with_questions=True)
        manifest = publish_in_blocks(
            run,
            [table],
            shards=shards,
            shard=shard,
            title="Synthesizing, blocks of users",
            details=lambda: {
                "users": len(asked),
                "users_kept": earlier.kept(run.output("questions.parquet"), user_ids),
            },
        )
        tell_kept(manifest, "synthesize")
        return manifest


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
