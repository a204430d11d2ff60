"""Prompts as token arrays, put together from pieces that are tokenised once.

A template is a text with the places ``{profile}``, ``{history}`` and, for the discriminator, ``{candidate}``. It goes
through the base's chat template where it has one, is cut at its places and tokenised; so are each distinct title and
profile. A prompt is then a concatenation of arrays.

In a history an item is its item token, followed by its title's tokens where the base reads titles. The next item is
thus always predicted from the *end* of the item before it, and one causal sequence holds every target of a user. Bases
trained from scratch know no language: their prompt is the bare history (titles reach them through the embeddings).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.errors import InputError, UsageError
from llmi2i_cli.llm.item_model import RaggedTokens, TokenLayout
from llmi2i_cli.llm.packing import TokenSequence

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLACES = ("profile", "history", "candidate")
BARE = {"generator": "{profile}{history}", "discriminator": "{profile}{history}{candidate}"}


def read_template(path: Path | None, role: str) -> str:
    """A user's template file, or the one that comes with the package. InputError if its places cannot be."""
    if path is None:
        return resources.files("llmi2i_cli.llm").joinpath(f"templates/{role}.txt").read_text(encoding="utf-8").strip()
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a template: {error}") from error
    places = PLACES if role == "discriminator" else PLACES[:2]
    for place in PLACES:
        times = text.count(f"{{{place}}}")
        if place not in places and times:
            raise InputError(f"{path}: a {role} template has no {{{place}}}: take it out")
        if times > 1 or (times == 0 and place in places and place != "profile"):
            raise InputError(f"{path}: a {role} template needs {{{place}}} exactly once, and it is there {times} times")
    found = [text.find(f"{{{place}}}") for place in places if f"{{{place}}}" in text]
    if found != sorted(found):
        raise InputError(f"{path}: the places must come in the order {', '.join(places)}")
    if role == "generator" and not text.endswith("{history}"):
        raise InputError(f"{path}: a generator template must end with {{history}}: the next item goes on from there")
    return text


@dataclass(frozen=True)
class PromptPieces:
    """The fixed parts of a prompt and the per-row texts, all as token ids.

    Attributes
    ----------
    before_profile, before_history, before_candidate, after_candidate : int64 (n,), the template's own text
    profiles : per user, or None where the template shows none
    titles : per item, put behind its item token; None where titles are not in the prompt
    """

    layout: TokenLayout
    before_profile: NDArray[np.int64]
    before_history: NDArray[np.int64]
    before_candidate: NDArray[np.int64]
    after_candidate: NDArray[np.int64]
    profiles: RaggedTokens | None
    titles: RaggedTokens | None

    def prefix(self, user: int) -> NDArray[np.int64]:
        """Everything before the first item."""
        if self.profiles is None:
            return np.concatenate([self.before_profile, self.before_history])
        return np.concatenate([self.before_profile, self.profiles.row(user), self.before_history])

    def item_lengths(self, items: NDArray[np.int32]) -> NDArray[np.int64]:
        """Tokens that each item takes, int64, the same shape."""
        if self.titles is None:
            return np.ones(len(items), np.int64)
        return 1 + self.titles.ptr[items + 1] - self.titles.ptr[items]

    def item_part(self, items: NDArray[np.int32]) -> NDArray[np.int64]:
        """Item tokens, each followed by its title."""
        tokens = self.layout.item_tokens(items)
        if self.titles is None or not len(items):
            return tokens
        return np.concatenate([part for k, t in zip(items, tokens, strict=True) for part in ((t,), self.titles.row(k))])

    def prefix_lengths(self, n_users: int) -> NDArray[np.int64]:
        """Tokens before the first item for each user, int64 (n_users,)."""
        fixed = len(self.before_profile) + len(self.before_history)
        return fixed + (np.zeros(n_users, np.int64) if self.profiles is None else np.diff(self.profiles.ptr))

    def check_room(self, max_length: int) -> None:
        """UsageError if `max_length` does not hold every user's prompt with one item and a candidate."""
        prefix = int(self.prefix_lengths(1 if self.profiles is None else len(self.profiles.ptr) - 1).max(initial=0))
        item = int(self.item_lengths(np.arange(self.layout.n_items, dtype=np.int32)).max(initial=1))
        least = prefix + 2 * item + len(self.before_candidate) + len(self.after_candidate)
        if max_length < least:
            raise UsageError(
                f"--max-length {max_length} is too short for this prompt and these titles: it must be at least {least}"
            )

    def most_recent_that_fit(self, items: NDArray[np.int32], budget: int) -> NDArray[np.int32]:
        """The longest run of latest items whose tokens fit `budget` (at least one item, if there is one)."""
        used = np.cumsum(self.item_lengths(items[::-1]))
        return items[len(items) - max(1, int(np.searchsorted(used, budget, side="right"))) :]


def tokenize_distinct(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int) -> RaggedTokens:
    """Tokenise each distinct text once; at most `max_tokens` tokens of each are kept, unknown words dropped."""
    distinct = {text: index for index, text in enumerate(dict.fromkeys(texts))}
    # A title that spells a control token is text all the same.
    encoded = (
        tokenizer(list(distinct), add_special_tokens=False, split_special_tokens=True).input_ids if distinct else []
    )
    unknown = tokenizer.unk_token_id
    known = [[token for token in row if token != unknown][:max_tokens] for row in encoded]
    return RaggedTokens.from_lists([known[distinct[text]] for text in texts])


def build_pieces(
    tokenizer: PreTrainedTokenizerBase,
    layout: TokenLayout,
    template: str,
    *,
    profiles: Sequence[str] | None,
    titles: RaggedTokens | None,
    max_profile_tokens: int = 128,
) -> PromptPieces:
    """Cut a template at its places and tokenise it; a base with a chat template is addressed through it."""
    text = template
    if getattr(tokenizer, "chat_template", None):
        head, history, rest = template.partition("{history}")
        if "{candidate}" in rest:  # the question is all the user's turn, the answer follows it
            message, continuation = template, ""
        else:  # the history is the assistant's turn: the generator goes on with it
            message, continuation = head.strip(), history + rest
        chat = [{"role": "user", "content": message}]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) + continuation
    elif tokenizer.bos_token and not text.startswith(tokenizer.bos_token):
        text = tokenizer.bos_token + text
    parts: list[str] = []
    for place in PLACES:
        before, found, after = text.partition(f"{{{place}}}")
        parts.append(before if found else "")
        text = after if found else text
    parts.append(text)
    has_profile = "{profile}" in template and profiles is not None and any(profiles)
    pieces = [np.asarray(tokenizer(part, add_special_tokens=False).input_ids, np.int64) for part in parts]
    return PromptPieces(
        layout=layout,
        before_profile=pieces[0],
        before_history=pieces[1],
        before_candidate=pieces[2],
        after_candidate=pieces[3],
        profiles=tokenize_distinct(tokenizer, profiles or [], max_profile_tokens) if has_profile else None,
        titles=titles,
    )


def generator_sequence(
    pieces: PromptPieces, user: int, items: NDArray[np.int32], max_length: int
) -> tuple[TokenSequence, NDArray[np.int32]]:
    """One training sequence of a user and its targets: every item is predicted from what stands before it.

    Returns
    -------
    sequence : its `outputs` are the positions whose next token is an item token
    targets : int32 (n,), the items there; the most recent ones when the history is longer than `max_length` tokens
    """
    prefix = pieces.prefix(user)
    items = pieces.most_recent_that_fit(items, max_length - len(prefix))
    tokens = np.concatenate([prefix, pieces.item_part(items)])
    starts = len(prefix) + np.concatenate([[0], np.cumsum(pieces.item_lengths(items))[:-1]])
    if len(prefix) == 0:  # nothing stands before the first item
        starts, targets = starts[1:], items[1:]
    else:
        targets = items
    length = int(starts[-1]) if len(starts) else 0  # what follows the last target's place teaches nothing
    return _plain_sequence(tokens[:length], starts - 1), targets


def query_sequence(pieces: PromptPieces, user: int, items: NDArray[np.int32], max_length: int) -> TokenSequence:
    """The sequence that asks for the item after `items`; its one output is the last position."""
    prefix = pieces.prefix(user)
    items = pieces.most_recent_that_fit(items, max_length - len(prefix))
    tokens = np.concatenate([prefix, pieces.item_part(items)])
    if not len(tokens):
        raise ValueError("an empty prompt: a template of the bare history cannot ask for a first item")
    return _plain_sequence(tokens, np.array([len(tokens) - 1], np.int64))


def discriminator_sequence(
    pieces: PromptPieces,
    user: int,
    items: NDArray[np.int32],
    candidates: NDArray[np.int32],
    evidence: NDArray[np.int32],
    max_length: int,
) -> TokenSequence:
    """One shared history and behind it every candidate as a group of its own; an output at the end of each.

    `evidence` int32 (n_candidates, n_features) holds evidence token numbers: what they mean is added to the candidate's
    item token, so a candidate takes no more tokens for it.
    `max_length` bounds the history with any one candidate: they lie beside each other, not behind each other.
    """
    prefix = pieces.prefix(user)
    behind = len(pieces.before_candidate) + len(pieces.after_candidate)
    behind += int(pieces.item_lengths(candidates).max(initial=0))
    history = pieces.item_part(pieces.most_recent_that_fit(items, max_length - len(prefix) - behind))
    shared = np.concatenate([prefix, history, pieces.before_candidate])
    tokens, positions = [shared], [np.arange(len(shared))]
    groups, starts, ends = [np.zeros(len(shared), np.int32)], [], []
    end = len(shared)
    for number in range(len(candidates)):
        own = np.concatenate([pieces.item_part(candidates[number : number + 1]), pieces.after_candidate])
        starts.append(end)
        tokens.append(own)
        positions.append(len(shared) + np.arange(len(own)))
        groups.append(np.full(len(own), number + 1, np.int32))
        end += len(own)
        ends.append(end)
    return TokenSequence(
        np.concatenate(tokens),
        np.concatenate(positions),
        np.concatenate(groups),
        outputs=np.array(ends, np.int64) - 1,
        evidence=evidence.astype(np.int64) + pieces.layout.evidence_token(0),
        evidence_at=np.array(starts, np.int64),
    )


def _plain_sequence(tokens: NDArray[np.int64], outputs: NDArray[np.int64]) -> TokenSequence:
    length = len(tokens)
    return TokenSequence(tokens, np.arange(length), np.zeros(length, np.int32), outputs)
