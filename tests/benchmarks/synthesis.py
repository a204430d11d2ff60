"""What proposing and judging cost, against the same by the book, in the same run.

    python -m tests.benchmarks.synthesis [--data FOLDER] [--threads N] [--part PART] [--users N] [--peer-users N]

FOLDER holds sequences.txt and items.csv; without it a shop is simulated. The weights are random (spread as trained
ones are): what is measured does not depend on them.

- rank: `rank_users`, as `synthesize` runs it, 30 items a user, against transformers' `generate`: beam search of width
  30 for one new token, left padded in batches, the item tokens that the user has not seen allowed by
  `prefix_allowed_tokens_fn`. Items and log-probabilities must agree.
- bare, titles: `answers`, as `filter` asks, 20 candidates per user behind one shared history, against one per pair:
  sorted by length, right padded in batches, the two answers' logits alone. The log-odds must agree to 1e-3. With the
  bare prompt of the presets, or with the shipped template and the titles in the prompt, as for a base with weights.

The users are those with the longest histories; the peers get a part of them, because they take long. Each run is a
process of its own; loading the model is not timed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig

from llmi2i_cli.llm.bases import answer_tokens, load_base
from llmi2i_cli.llm.generate import Generator, pad_token_of, rank_users
from llmi2i_cli.llm.item_model import DiscriminatorModel
from llmi2i_cli.llm.judge import Discriminator, answers, questions_about
from llmi2i_cli.llm.positions import HISTORY
from llmi2i_cli.llm.prompts import BARE, build_pieces, discriminator_sequence, query_sequence, read_template
from tests.benchmarks import fair
from tests.benchmarks.fair import Comparison, Side
from tests.benchmarks.own_process import in_own_process
from tests.benchmarks.shop import Shop, default_training, prepare_shop

WIDTH = 30  # items a user, beams
BEAM_USERS = 32  # users a batch of the beam search; 16 and 64 are slower
N_CANDIDATES, N_FEATURES, BUCKETS = 20, 5, 16
PAIRS = 128  # a batch; 512 are slower


@dataclass(frozen=True)
class Timed:
    seconds: float
    amount: int
    results: tuple[NDArray[Any], ...]


@torch.no_grad()
def spread(model: torch.nn.Module) -> None:
    """Weights as far apart as trained ones; fresh ones hardly tell one history from another."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.mul_(8)


def timed(
    work: Callable[[NDArray[np.int64]], tuple[NDArray[Any], ...]], users: NDArray[np.int64], per_user: int = 1
) -> Timed:
    """`work` on these users, after a few that warm up."""
    work(users[:BEAM_USERS])
    start = time.perf_counter()
    results = work(users)
    return Timed(time.perf_counter() - start, len(users) * per_user, results)


def a_generator(workdir: Path) -> tuple[Shop, Generator]:
    shop = Shop.read(workdir)
    generator = default_training(shop).generator
    generator.model.eval().merge_title_words()
    spread(generator.model)
    return shop, generator


def rank(workdir: Path, users: NDArray[np.int64]) -> Timed:
    shop, generator = a_generator(workdir)
    log = shop.histories

    def work(users: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        blocks = list(rank_users(generator, users, log, log, history=HISTORY, top_n=WIDTH))
        return np.concatenate([items for items, _ in blocks]), np.concatenate([scores for _, scores in blocks])

    return timed(work, users)


def beam_search(workdir: Path, users: NDArray[np.int64]) -> Timed:
    shop, generator = a_generator(workdir)
    log, llm, layout = shop.histories, generator.model.llm, generator.model.layout
    config = GenerationConfig(
        max_new_tokens=1,
        num_beams=WIDTH,
        num_return_sequences=WIDTH,
        do_sample=False,
        length_penalty=0.0,
        renormalize_logits=True,
        return_dict_in_generate=True,
        output_scores=True,
        pad_token_id=generator.pad_token,
    )

    def search(users: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        unseen = torch.ones(len(users), layout.n_items, dtype=torch.bool)
        for row, user in enumerate(users.tolist()):
            unseen[row, torch.from_numpy(log.row(user)).long()] = False
        allowed = [layout.base_vocab + row.nonzero().flatten() for row in unseen]
        prompts = [
            torch.from_numpy(
                query_sequence(generator.pieces, user, log.row(user)[-HISTORY:], generator.max_length).tokens
            )
            for user in users.tolist()
        ]
        tokens = pad_sequence(prompts, batch_first=True, padding_side="left", padding_value=generator.pad_token)
        mask = pad_sequence([torch.ones_like(prompt) for prompt in prompts], batch_first=True, padding_side="left")
        found = llm.generate(
            tokens,
            attention_mask=mask,
            generation_config=config,
            prefix_allowed_tokens_fn=lambda row, _: allowed[row],
        )
        items = found.sequences[:, -1].reshape(len(users), WIDTH) - layout.base_vocab
        return items.numpy(), found.sequences_scores.reshape(len(users), WIDTH).numpy()

    def work(users: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        batches = [search(users[first : first + BEAM_USERS]) for first in range(0, len(users), BEAM_USERS)]
        return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))

    with torch.no_grad():
        return timed(work, users)


def assert_same_lists(ours: tuple[NDArray[Any], ...], theirs: tuple[NDArray[Any], ...]) -> None:
    """The same log-probabilities in order, and the same items but where the last places tie; of their users."""
    their_items, their_logprobs = theirs
    items, logprobs = (part[: len(their_items)] for part in ours)
    np.testing.assert_allclose(logprobs, their_logprobs, atol=1e-3)
    for row, (mine, other) in enumerate(zip(items, their_items, strict=True)):
        clear = logprobs[row] > logprobs[row, -1] + 1e-3
        assert set(mine[clear]) <= set(other), f"user {row}: the lists differ"


def assert_same_odds(ours: tuple[NDArray[Any], ...], theirs: tuple[NDArray[Any], ...]) -> None:
    """The same log-odds of their candidates."""
    np.testing.assert_allclose(ours[0][: len(theirs[0])], theirs[0], atol=1e-3)


def a_discriminator(workdir: Path, titles_in_prompt: bool) -> tuple[Shop, Discriminator]:
    shop = Shop.read(workdir)
    base = load_base("llama-tiny", shop.catalogue, attention="sdpa", seed=1, n_evidence=N_FEATURES * BUCKETS)
    yes, no = answer_tokens(base.tokenizer)
    model = DiscriminatorModel(base.llm, base.layout, titles=base.title_words, yes_token=yes, no_token=no).eval()
    model.merge_title_words()
    spread(model)
    template = read_template(None, "discriminator") if titles_in_prompt else BARE["discriminator"]
    titles = base.titles if titles_in_prompt else None
    pieces = build_pieces(base.tokenizer, base.layout, template, profiles=None, titles=titles)
    return shop, Discriminator(model, pieces, pad_token_of(base.tokenizer), 1024 if titles_in_prompt else 64)


def pairs_of(users: NDArray[np.int64], n_items: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Candidates (n_users, N_CANDIDATES) and their feature tokens (n_users, N_CANDIDATES, N_FEATURES), by user."""
    drawn = [np.random.default_rng(user) for user in users.tolist()]
    candidates = np.stack([rng.integers(0, n_items, N_CANDIDATES) for rng in drawn])
    buckets = np.stack([rng.integers(0, BUCKETS, (N_CANDIDATES, N_FEATURES)) for rng in drawn])
    return candidates.astype(np.int32), (buckets + np.arange(N_FEATURES) * BUCKETS).astype(np.int32)


def judge_together(workdir: Path, titles_in_prompt: bool, users: NDArray[np.int64]) -> Timed:
    shop, discriminator = a_discriminator(workdir, titles_in_prompt)

    def work(users: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        candidates, tokens = pairs_of(users, shop.catalogue.n_items)
        ptr = np.arange(len(users) + 1) * N_CANDIDATES
        flat = tokens.reshape(-1, N_FEATURES)
        return (
            answers(
                discriminator,
                questions_about(discriminator, users, shop.histories.take(users), ptr, candidates.flatten(), flat),
            ),
        )

    return timed(work, users, N_CANDIDATES)


def judge_pair_by_pair(workdir: Path, titles_in_prompt: bool, users: NDArray[np.int64]) -> Timed:
    shop, discriminator = a_discriminator(workdir, titles_in_prompt)
    model, pieces = discriminator.model, discriminator.pieces
    table = model.llm.get_output_embeddings().weight
    difference = table[model.yes_token] - table[model.no_token]

    def work(users: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        candidates, tokens = pairs_of(users, shop.catalogue.n_items)
        prompts = [
            discriminator_sequence(
                pieces,
                user,
                shop.histories.row(user)[-HISTORY:],
                candidates[row, [k]],
                tokens[row, [k]],
                discriminator.max_length,
            )
            for row, user in enumerate(users.tolist())
            for k in range(N_CANDIDATES)
        ]
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index].tokens))
        odds = torch.empty(len(prompts))
        for first in range(0, len(order), PAIRS):
            part = order[first : first + PAIRS]
            batch = pad_sequence([torch.from_numpy(prompts[index].tokens) for index in part], batch_first=True)
            evidence = torch.from_numpy(np.concatenate([prompts[index].evidence for index in part]))
            candidate_at = torch.from_numpy(np.concatenate([prompts[index].evidence_at for index in part]))
            row_of_each = torch.arange(len(part))
            embedded = table[batch]
            embedded[row_of_each, candidate_at] += table[evidence].sum(1)
            states = model.decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state
            last = torch.tensor([len(prompts[index].tokens) - 1 for index in part])
            odds[part] = states[row_of_each, last] @ difference
        return (odds.numpy(),)

    with torch.no_grad():
        return timed(work, users, N_CANDIDATES)


@dataclass(frozen=True)
class Task:
    """What both sides do: `ours` and `theirs` take the work directory, `arguments` and users; `same` compares."""

    what: str
    against: str
    unit: str
    ours: Callable[..., Timed]
    theirs: Callable[..., Timed]
    arguments: tuple[Any, ...]
    same: Callable[..., None]


TASKS = {
    "rank": Task(
        f"`synthesize`, {WIDTH} items a user",
        f"`generate`, beam search of width {WIDTH}",
        "users",
        rank,
        beam_search,
        (),
        assert_same_lists,
    ),
    **{
        part: Task(
            f"`filter`, {N_CANDIDATES} candidates a user, {prompt}",
            "one prompt a pair",
            "pairs",
            judge_together,
            judge_pair_by_pair,
            (part == "titles",),
            assert_same_odds,
        )
        for part, prompt in (
            ("bare", "the preset's bare prompt"),
            ("titles", "instruction and titles in the prompt"),
        )
    },
}


def compare(task: Task, workdir: Path, users: NDArray[np.int64], few: NDArray[np.int64], runs: int) -> Comparison:
    """Ours with all `users` and theirs with a `few`, in turns; fails where the results of these differ."""
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(in_own_process(task.ours, workdir, *task.arguments, users))
        theirs.append(in_own_process(task.theirs, workdir, *task.arguments, few))
    task.same(ours[0][0].results, theirs[0][0].results)
    return Comparison(task.what, task.against, side(ours), side(theirs), task.unit)


def side(runs: list[tuple[Timed, float]]) -> Side:
    return Side([timed.seconds for timed, _ in runs], runs[0][0].amount, max(peak for _, peak in runs))


def main() -> None:
    parser = fair.parser(__doc__, TASKS, runs=2)
    parser.add_argument("--data", type=Path, help="folder with sequences.txt and items.csv")
    parser.add_argument("--users", type=int, default=2048, help="for ours")
    parser.add_argument("--peer-users", type=int, default=128, help="the first of them, for the peers")
    options = fair.parse(parser)
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder)
        prepare_shop(options.data, workdir)
        histories = Shop.read(workdir).histories
        shown = np.minimum(histories.lengths, HISTORY)
        users = np.argsort(-shown, kind="stable")[: options.users]
        print(
            f"{len(users):,} users, {shown[users].mean():.1f} items of each shown, {histories.n_items:,} items in all"
        )
        fair.print_comparisons(
            compare(TASKS[part], workdir, users, users[: options.peer_users], options.runs)
            for part in options.part or TASKS
        )


if __name__ == "__main__":
    main()
