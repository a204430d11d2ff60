"""Generation as a ranking: with one token per item, the next-item distribution is one matrix product.

The paper lets the LLM write the next items out; a ranked list of the most likely ones is our reading of it. What a user
gets does not depend on who else is asked (see `fixed_shapes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from llmi2i_cli.artifacts.answers import question_digest
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import Catalogue
from llmi2i_cli.llm.fixed_shapes import ask
from llmi2i_cli.llm.inference import ready_to_ask
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.packing import PackedRows
from llmi2i_cli.llm.prompts import PromptPieces, query_sequence
from llmi2i_cli.llm.saved_models import Card, load_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BLOCK_USERS = 1024
CHUNK_LOGITS = 2 << 20  # logits held at once: 8 MB, what the last-level cache takes,
FEWEST_USERS = 64  # but for so many users at least, or else reading the table would take longer than multiplying it

# Rows of a log -> items, int32 (n_users, top_n), best first, -1 padded, and their logprobs, float32 (n_users, top_n).
Ranker = Callable[[Sequence[int]], tuple[NDArray[np.int32], NDArray[np.float32]]]


@dataclass(frozen=True)
class Generator:
    """A generator ready to rank."""

    model: GeneratorModel
    pieces: PromptPieces
    pad_token: int
    max_length: int

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


@torch.no_grad()
def rank_block(
    generator: Generator,
    users: Sequence[int],
    histories: Histories,
    seen: Histories | None,
    *,
    history: int,
    top_n: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The most likely next items of some users, best first.

    Parameters
    ----------
    users : rows of `histories`
    seen : items that are not to be proposed, per user; None lets every item be proposed
    history : how many of the most recent interactions are shown to the model

    Returns
    -------
    items : int32 (n_users, top_n), -1 where a user has seen all the rest
    logprobs : float32 (n_users, top_n), log-probability among the items the user has not seen; -inf where padded
    """
    model, device = generator.model, generator.device
    states = states_after(generator, [(user, histories.row(user)[-history:]) for user in users])
    output = model.output_rows(model.input_table()).float()
    found = min(top_n, len(output))
    items_out = np.full((len(users), top_n), -1, np.int32)
    logprobs_out = np.full((len(users), top_n), -np.inf, np.float32)
    width = max(FEWEST_USERS, CHUNK_LOGITS // len(output))
    states = functional.pad(states, (0, 0, 0, -len(users) % width))  # all products of one shape: see `fixed_shapes`
    for start in range(0, len(users), width):
        part = slice(start, min(start + width, len(users)))
        logits = (states[start : start + width] @ output.T)[: part.stop - start]  # (C, n_items)
        if seen is not None:
            rows_seen = [seen.row(user) for user in users[part]]
            owner = np.repeat(np.arange(len(rows_seen)), [len(row) for row in rows_seen])
            items = np.concatenate(rows_seen)
            logits[torch.from_numpy(owner).to(device), torch.from_numpy(items).long().to(device)] = -torch.inf
        values, chosen = logits.topk(found, dim=1)
        logprobs = values - logits.logsumexp(dim=1, keepdim=True)
        items_out[part, :found] = chosen.cpu().numpy()
        logprobs_out[part, :found] = logprobs.masked_fill(values == -torch.inf, -torch.inf).cpu().numpy()  # no NaN
    items_out[np.isneginf(logprobs_out)] = -1
    return items_out, logprobs_out


def likeliest(generator: Generator, histories: Histories, history: int, top_n: int) -> Ranker:
    """The row of `choices.methods`: the likeliest items that a user has not seen."""
    return partial(rank_block, generator, histories=histories, seen=histories, history=history, top_n=top_n)


@torch.no_grad()
def states_after(generator: Generator, asked: Sequence[tuple[int, NDArray[np.int32]]]) -> torch.Tensor:
    """The state from which the item after each history is told, float32 (len(asked), D): in bfloat16 logits would tie.

    `asked` holds pairs of a user, for the profile, and items, int32 (n,), oldest first.
    """
    sequences = [query_sequence(generator.pieces, user, items, generator.max_length) for user, items in asked]
    table = generator.model.input_table()

    def answer(rows: PackedRows) -> torch.Tensor:
        on_device = {name: value.to(generator.device) for name, value in vars(rows).items()}
        return generator.model.states(table, **on_device).float()

    return ask(sequences, generator.pad_token, answer)


def query_digest(generator: Generator, user: int, items: NDArray[np.int32], seen: NDArray[np.int32]) -> int:
    """What tells two questions for a user's next items apart: the prompt, and the items that are not to be proposed."""
    return question_digest(
        [query_sequence(generator.pieces, user, items, generator.max_length).tokens, np.unique(seen)]
    )


def rank_users(
    generator: Generator,
    users: NDArray[np.integer],
    histories: Histories,
    seen: Histories | None,
    *,
    history: int,
    top_n: int,
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """`rank_block` over blocks of `BLOCK_USERS` users, in order."""
    for start in range(0, len(users), BLOCK_USERS):
        block = [int(user) for user in users[start : start + BLOCK_USERS]]
        yield rank_block(generator, block, histories, seen, history=history, top_n=top_n)


def load_generator(
    directory: Path, catalogue: Catalogue, profiles: Sequence[str], *, attention: str = "auto"
) -> Generator:
    """Load what `sft-gen` wrote, ready to rank. ArtifactError if it is damaged, foreign or of another catalogue."""
    remedy = "run `llmi2i sft-gen --force`"
    llm, tokenizer, card = load_checkpoint(directory, catalogue.ids, attention=attention, remedy=remedy)
    model = ready_to_ask(GeneratorModel(llm, card.layout))
    return Generator(
        model, pieces_of_card(card, tokenizer, catalogue, profiles), pad_token_of(tokenizer), card.max_length
    )


def pieces_of_card(
    card: Card, tokenizer: PreTrainedTokenizerBase, catalogue: Catalogue, profiles: Sequence[str]
) -> PromptPieces:
    """The prompt pieces that a checkpoint was trained with."""
    from llmi2i_cli.llm.bases import MAX_TITLE_TOKENS
    from llmi2i_cli.llm.prompts import build_pieces, tokenize_distinct

    titles = None
    if card.titles_in_prompt:
        titles = tokenize_distinct(tokenizer, list(catalogue.titles), MAX_TITLE_TOKENS)
    return build_pieces(tokenizer, card.layout, card.template, profiles=profiles, titles=titles)


def pad_token_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """A token for padding; which one does not matter, since nothing attends to it."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id):
        if token is not None:
            return int(token)
    return 0
