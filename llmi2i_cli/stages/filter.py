"""`llmi2i filter`: let the discriminator judge the candidates, and on request the real interactions too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.artifacts.prepared_log import OnPreparedLog
from llmi2i_cli.choices.evidence import FEATURES
from llmi2i_cli.errors import ArtifactError, UsageError
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import shard_label, stage_run
from llmi2i_cli.scale.runners import runner

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from llmi2i_cli.artifacts.answers import EarlierAnswers
    from llmi2i_cli.i2i.evidence import Evidence
    from llmi2i_cli.llm.calibration import Calibration
    from llmi2i_cli.llm.feature_tokens import Buckets
    from llmi2i_cli.llm.judge import Discriminator

REMEDY = "run `llmi2i sft-disc --force`"
USERS_PER_BLOCK = 1024
CANDIDATES_PATH, SCORED_PATH = "synthesize/candidates.parquet", "filter/scored.parquet"


def filter_candidates(
    workdir: Path,
    *,
    min_confidence: float = 0.5,
    include_real: bool = False,
    shards: int = 1,
    shard: int = 1,
    ray: str | None = None,
    force: bool = False,
) -> dict[str, Any] | None:
    """Write ``filter/scored.parquet``: every candidate with label, confidence and `keep`.

    The confidence is calibrated (see `llm.calibration`); `keep` marks a Yes with at least `min_confidence`. With
    `include_real`, ``filter/scored-real.parquet`` holds the same for each train interaction, judged from the user's
    others around it, without its own testimony, on the discriminator's own scale. About whom the same discriminator was
    asked the same in the last run keeps the confidences of then, unless a run is forced. Returns the manifest, or None
    when other shards have not finished yet.

    `ray` is the address of a Ray cluster that does the work, or ``local``; the bytes are the same.
    """
    if not 0 <= min_confidence <= 1:
        raise UsageError(f"--min-confidence is a probability, not {min_confidence}")
    label = shard_label(shards, shard)
    options = {"min_confidence": min_confidence, "include_real": include_real}
    with stage_run(workdir, "filter", options=options, shard=label, force=force) as run:
        if run.up_to_date and run.manifest:
            notice(f"filter is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.artifacts.schemas import SCORED, SCORED_REAL
        from llmi2i_cli.runs.again import has_answers_of_the_same, tell_kept
        from llmi2i_cli.runs.blocks import BlockedTable, publish_in_blocks

        keeps = not force and has_answers_of_the_same(run, "sft-disc/model/", [])
        judge = _Judge(workdir, min_confidence, keeps, USERS_PER_BLOCK)
        n_blocks = -(-judge.n_listed // USERS_PER_BLOCK)
        tables = [BlockedTable("scored", n_blocks, judge.candidates_of_block, SCORED, with_questions=True)]
        if include_real:
            n_blocks = -(-judge.histories.n_users // USERS_PER_BLOCK)
            tables.append(BlockedTable("scored-real", n_blocks, judge.real_of_block, SCORED_REAL))
        outputs = [f"{table.name}.parquet" for table in tables]
        with runner(ray, on_gpus=True) as run_tasks:
            manifest = publish_in_blocks(
                run,
                tables,
                shards=shards,
                shard=shard,
                title="Filtering, blocks of users",
                runner=run_tasks,
                details=lambda: {
                    "kept": {output: _kept(run.output(output)) for output in outputs},
                    "users": judge.n_listed,
                    "users_kept": judge.earlier.kept(run.output("questions.parquet"), judge.user_ids),
                },
            )
        tell_kept(manifest, "filter")
        return manifest


def _kept(path: Path) -> int:
    import polars as pl

    return int(pl.scan_parquet(path, glob=False).select(pl.col("keep").sum()).collect().item())


def check_known(names: Sequence[str], model: Path) -> None:
    """ArtifactError if a discriminator reads a feature that the table of evidence does not have (any more)."""
    unknown = [name for name in names if name not in FEATURES]
    if unknown:
        raise ArtifactError(
            f"{model} was trained with other features ({', '.join(unknown)}) than there are now "
            f"({', '.join(FEATURES)}): {REMEDY}"
        )


@dataclass(frozen=True)
class _Judge(OnPreparedLog):
    """Everything that judging a block of users needs, read when it is needed first.

    Attributes
    ----------
    keeps : about whom the same is asked as in the last run keeps the confidences of then
    """

    min_confidence: float
    keeps: bool
    block_users: int

    @property
    def model(self) -> Path:
        return self.workdir / "sft-disc" / "model"

    @cached_property
    def timestamps(self) -> NDArray[np.int64]:
        from llmi2i_cli.artifacts.prepared import read_times

        return read_times(self.workdir)

    @cached_property
    def discriminator(self) -> Discriminator:
        from llmi2i_cli.artifacts.prepared import read_profiles
        from llmi2i_cli.llm.judge import load_discriminator

        return load_discriminator(self.model, self.catalogue, read_profiles(self.workdir))

    @cached_property
    def buckets(self) -> Buckets:
        from llmi2i_cli.llm.feature_tokens import Buckets
        from llmi2i_cli.llm.judge import BUCKETS

        buckets = Buckets.load(self.model / BUCKETS, REMEDY)
        check_known(buckets.names, self.model)
        return buckets

    @cached_property
    def calibration(self) -> Calibration:
        from llmi2i_cli.llm.calibration import Calibration
        from llmi2i_cli.llm.judge import CALIBRATION

        return Calibration.load(self.model / CALIBRATION, REMEDY)

    @cached_property
    def evidence(self) -> Evidence:
        from llmi2i_cli.i2i.evidence import Evidence

        return Evidence(self.histories, self.catalogue.texts, self.buckets.names)

    @cached_property
    def earlier(self) -> EarlierAnswers:
        from llmi2i_cli.artifacts.answers import EarlierAnswers

        if self.keeps:
            return EarlierAnswers.read(self.workdir, SCORED_PATH, self.user_ids)
        return EarlierAnswers.none(SCORED_PATH, len(self.user_ids))

    @cached_property
    def candidates(self) -> pl.LazyFrame:
        from llmi2i_cli.artifacts.schemas import scan_artifact

        return scan_artifact(self.workdir, CANDIDATES_PATH)

    @cached_property
    def row_ptr(self) -> NDArray[np.int64]:
        """Where the candidates' rows of each listed user begin, and the end, int64 (n_listed + 1,)."""
        import numpy as np

        from llmi2i_cli.artifacts.schemas import rows_of_users

        counts = rows_of_users(self.workdir, CANDIDATES_PATH)["count"].to_numpy()
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @property
    def n_listed(self) -> int:
        """Users with candidates."""
        return len(self.row_ptr) - 1

    def candidates_of_block(self, block: int) -> pl.DataFrame:
        """Scored candidates of the block's users, in the file's order, and the digest of what was asked about each."""
        import numpy as np
        import polars as pl

        from llmi2i_cli.artifacts.features import CandidateRows
        from llmi2i_cli.artifacts.indices import with_index
        from llmi2i_cli.artifacts.schemas import collect_artifact
        from llmi2i_cli.llm.judge import answers, digests_of, questions_about

        bounds = np.minimum(np.array([block, block + 1]) * self.block_users, self.n_listed)
        start, end = self.row_ptr[bounds]
        frame = collect_artifact(self.candidates.slice(int(start), int(end - start)), self.workdir, CANDIDATES_PATH)
        indexed = with_index(frame, self.user_ids, "user_id", CANDIDATES_PATH)
        indexed = with_index(indexed, self.catalogue.ids, "item_id", CANDIDATES_PATH)
        row_users = indexed["user_id_index"].to_numpy().astype(np.int64)
        items = indexed["item_id_index"].to_numpy().astype(np.int32)
        starts = np.flatnonzero(np.diff(row_users, prepend=-1))
        users, ptr = row_users[starts], np.append(starts, len(row_users))
        position = np.repeat(np.arange(len(users)), np.diff(ptr))
        contexts = self.histories.take(users)
        rows = CandidateRows(
            contexts, position, row_users, items, frame["logprob"].to_numpy(), frame["rank"].to_numpy()
        )
        tokens = self.buckets.tokens(self.evidence.features(rows))
        questions = list(questions_about(self.discriminator, users, contexts, ptr, items, tokens))
        digests = digests_of(questions)
        same = self.earlier.have(users, digests)
        row_is_same = same[position]
        confidence = np.empty(len(items), np.float32)
        confidence[row_is_same] = self.earlier.rows(users[same])["confidence"].to_numpy()
        odds = answers(self.discriminator, list(compress(questions, ~same)))
        confidence[~row_is_same] = self.calibration.confidence(odds)
        return frame.with_columns(*self._verdicts(confidence), pl.Series("question", digests[position]))

    def real_of_block(self, block: int) -> pl.DataFrame:
        """Scored train interactions of the block's users: each judged from the user's others nearest to it.

        Those before it are first choice; a user's first interactions are judged from what followed. An interaction does
        not testify for itself, and the generator's opinion is not asked: it has memorised these interactions.
        """
        import numpy as np
        import polars as pl

        from llmi2i_cli.artifacts.features import CandidateRows
        from llmi2i_cli.llm.calibration import Calibration
        from llmi2i_cli.llm.judge import answers, questions_about
        from llmi2i_cli.llm.positions import HISTORY

        first, last = (min(b * self.block_users, self.histories.n_users) for b in (block, block + 1))
        places = np.arange(self.histories.ptr[first], self.histories.ptr[last])
        users = np.repeat(np.arange(first, last), self.histories.lengths[first:last])
        contexts, items = self.histories.around(places, HISTORY), self.histories.items[places]
        each = np.arange(len(places))
        rows = CandidateRows(contexts, each, users, items)
        frame = pl.DataFrame(
            {
                "user_id": self.user_ids.gather(users),
                "item_id": self.catalogue.ids.gather(items),
                "timestamp": self.timestamps[places],
            }
        )
        # The calibration is of what a generator proposes, against the rest of its list: not of these.
        tokens = self.buckets.tokens(self.evidence.features(rows))
        odds = answers(
            self.discriminator,
            questions_about(self.discriminator, users, contexts, np.append(each, len(places)), items, tokens),
        )
        verdicts = self._verdicts(Calibration().confidence(odds))
        # Of a user with a single interaction nothing is known that could speak against it.
        return frame.with_columns(verdicts).with_columns(keep=pl.col("keep") | pl.Series(contexts.lengths == 0))

    def _verdicts(self, confidence: NDArray[np.float32]) -> list[pl.Series]:
        """Columns label, confidence and keep."""
        import numpy as np
        import polars as pl

        yes = confidence > 0.5
        return [
            pl.Series("label", np.where(yes, "Yes", "No")),
            pl.Series("confidence", confidence),
            pl.Series("keep", yes & (confidence >= np.float32(self.min_confidence))),
        ]
