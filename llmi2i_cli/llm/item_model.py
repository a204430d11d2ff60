"""A causal LM whose vocabulary also holds the items: one token per item, behind the base's own vocabulary.

Layout of the vocabulary::

    0 .. base_vocab - 1                     the base's own tokens (words)
    base_vocab + k                          item k, row k of prepare/items.parquet
    base_vocab + n_items + e                evidence token e (added to the discriminator's candidates)

A base that comes with weights starts an item's row as the mean of its own embeddings of the item's title. A base
trained from scratch keeps that sum alive while it trains: an item's vector is its own row *plus* the weighted mean of
its title words' rows, so that an item that was bought twice shares what its words have learnt. Saving adds the two up,
and what is left is an ordinary Hugging Face checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from llmi2i_cli.llm.item_loss import weighted_item_cross_entropy
from llmi2i_cli.llm.item_sampler import ItemSampler
from llmi2i_cli.llm.packing import attention_mask
from llmi2i_cli.llm.precision import multiplying_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class TokenLayout:
    """Where words, items and evidence lie in the vocabulary."""

    base_vocab: int
    n_items: int
    n_evidence: int = 0

    @property
    def size(self) -> int:
        return self.base_vocab + self.n_items + self.n_evidence

    @property
    def item_rows(self) -> slice:
        """Rows of the embedding table that are items."""
        return slice(self.base_vocab, self.base_vocab + self.n_items)

    def item_tokens(self, items: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Token ids of item indices, int64, the same shape."""
        return items.astype(np.int64) + self.base_vocab

    def evidence_token(self, number: int) -> int:
        return self.base_vocab + self.n_items + number


@dataclass(frozen=True)
class RaggedTokens:
    """A token list per row (an item's title, a user's profile): ``tokens[ptr[i]:ptr[i + 1]]``, int64 both."""

    ptr: NDArray[np.int64]
    tokens: NDArray[np.int64]

    def row(self, index: int) -> NDArray[np.int64]:
        return self.tokens[self.ptr[index] : self.ptr[index + 1]]

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[int]]) -> RaggedTokens:
        ptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=ptr[1:])
        return cls(ptr, np.fromiter((token for row in rows for token in row), np.int64, int(ptr[-1])))


class TitleWords(nn.Module):
    """Weighted mean of the embeddings of each item's title words; weights are the words' inverse document frequency."""

    def __init__(self, titles: RaggedTokens, base_vocab: int) -> None:
        super().__init__()
        lengths = np.diff(titles.ptr)
        item_of = np.repeat(np.arange(len(lengths)), lengths)
        once = np.unique(np.stack([item_of, titles.tokens]), axis=1)[1]  # a word counts once for each title
        document_frequency = np.bincount(once, minlength=base_vocab)
        weight = np.log((1 + len(lengths)) / (1 + document_frequency))[titles.tokens]
        total = np.bincount(item_of, weights=weight, minlength=len(lengths))
        weight = weight / np.maximum(total, 1e-9)[item_of]
        self.tokens: torch.Tensor
        self.ptr: torch.Tensor
        self.weights: torch.Tensor
        self.register_buffer("tokens", torch.from_numpy(titles.tokens), persistent=False)
        self.register_buffer("ptr", torch.from_numpy(titles.ptr), persistent=False)
        self.register_buffer("weights", torch.from_numpy(weight.astype(np.float32)), persistent=False)

    def forward(self, words: torch.Tensor, items: torch.Tensor | None = None) -> torch.Tensor:
        """Title vectors of all items or of some, (n_items, D), from the word embeddings, (base_vocab, D)."""
        tokens, starts, weights = self.tokens, self.ptr[:-1], self.weights
        if items is not None:
            lengths = self.ptr[items + 1] - self.ptr[items]
            starts = lengths.cumsum(0) - lengths
            entries = torch.repeat_interleave(self.ptr[items] - starts, lengths)
            entries += torch.arange(len(entries), device=entries.device)
            tokens, weights = tokens[entries], weights[entries]
        return functional.embedding_bag(tokens, words, starts, mode="sum", per_sample_weights=weights.to(words.dtype))


class ItemModel(nn.Module):
    """A Hugging Face causal LM read at chosen positions of packed rows; the base of generator and discriminator.

    It is a module of its own, and not a subclass per architecture, so that the same code serves whatever AutoModel
    loads and whatever wraps it (DDP, DeepSpeed).
    """

    accepts_loss_kwargs = True  # the Trainer then passes the number of targets of the whole accumulated batch

    def __init__(
        self,
        llm: PreTrainedModel,
        layout: TokenLayout,
        *,
        dropout: float = 0.0,
        titles: RaggedTokens | None = None,
        decoder_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self._llm = (llm,)  # in a tuple: its modules are registered below, once each
        self.layout = layout
        self.dropout = dropout
        self.decoder_dtype = decoder_dtype  # in which its layers multiply; None: that of their weights
        self.decoder = llm.base_model
        head, embedding = llm.get_output_embeddings(), llm.get_input_embeddings()
        self.head = None if head.weight is embedding.weight else head
        self.title_words = TitleWords(titles, layout.base_vocab) if titles is not None else None

    @property
    def llm(self) -> PreTrainedModel:
        return self._llm[0]

    def item_tables(self) -> list[Any]:
        """The modules whose weight, (vocabulary, D), has rows of items that are trained: the embeddings."""
        return [self.llm.get_input_embeddings()]

    def input_table(self, items: torch.Tensor | None = None) -> torch.Tensor:
        """Embeddings of all tokens, (vocabulary, D), title words added to their items.

        With `items`, int64 (C,): those of the words and of these items alone, (base_vocab + C, D).
        """
        table: torch.Tensor = self.llm.get_input_embeddings().weight
        start, stop = self.layout.item_rows.start, self.layout.item_rows.stop
        if items is not None:
            table = table[torch.cat([torch.arange(start, device=items.device), start + items])]
            stop = start + len(items)
        if self.title_words is None:
            return table
        words = self.title_words(table[:start], items)
        return torch.cat([table[:start], table[start:stop] + words, table[stop:]])

    def states(
        self,
        table: torch.Tensor,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        segments: torch.Tensor,
        groups: torch.Tensor,
        outputs: torch.Tensor,
        evidence: torch.Tensor,
        evidence_at: torch.Tensor,
    ) -> torch.Tensor:
        """The last hidden state at `outputs`, (M, D); arguments as in `packing.PackedRows`."""
        embedded = functional.embedding(input_ids, table)
        if len(evidence_at):
            added = functional.embedding_bag(evidence, table, mode="sum")
            embedded = embedded.flatten(0, 1).index_add(0, evidence_at, added).view_as(embedded)
        embedded = functional.dropout(embedded, self.dropout, self.training)
        if self.decoder.config._attn_implementation == "flash_attention_2":
            real = segments != 0
            with torch.autocast(embedded.device.type, torch.bfloat16):  # the kernel knows no float32
                state = self.decoder(
                    inputs_embeds=embedded[real][None], position_ids=position_ids[real][None], use_cache=False
                ).last_hidden_state[0]
            place = torch.cumsum(real.flatten(), 0) - 1
            chosen = state[place[outputs]]
        else:
            with multiplying_in(self.decoder_dtype, embedded):
                state = self.decoder(
                    inputs_embeds=embedded,
                    attention_mask=attention_mask(segments, groups),
                    position_ids=position_ids,
                    use_cache=False,
                ).last_hidden_state
            chosen = state.flatten(0, 1)[outputs]
        return functional.dropout(chosen, self.dropout, self.training)

    @torch.no_grad()
    def merge_title_words(self) -> None:
        """Add the title words' part to the item rows for good; afterwards the model is a plain causal LM."""
        if self.title_words is not None:
            self.llm.get_input_embeddings().weight.copy_(self.input_table())
            self.title_words = None


class GeneratorModel(ItemModel):
    """Next-item model; its forward is the loss of eq. (2), over all items or those that `sampler` draws."""

    def __init__(
        self,
        *args: Any,
        loss_dtype: torch.dtype = torch.float32,
        sampler: ItemSampler | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.loss_dtype, self.sampler = loss_dtype, sampler

    def item_tables(self) -> list[Any]:
        """The embeddings and, if it is another table, the output layer: items are read and told."""
        return [*super().item_tables(), *([] if self.head is None else [self.head])]

    def output_rows(self, input_table: torch.Tensor, items: torch.Tensor | None = None) -> torch.Tensor:
        """Output rows of the item tokens, (n_items, D); with `items`, as in `input_table`, of these alone, (C, D)."""
        start, stop = self.layout.item_rows.start, self.layout.item_rows.stop
        if self.head is None:
            return input_table[start : stop if items is None else start + len(items)]
        rows: torch.Tensor = self.head.weight[slice(start, stop) if items is None else start + items]
        return rows

    def forward(
        self,
        labels: torch.Tensor,
        weights: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
        shift_labels: torch.Tensor | None = None,
        **rows: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Weighted cross entropy divided by the number of targets (of the whole accumulated batch, if it is given).

        The divisor counts targets, not weights: a long-tail target's gradient is then exactly alpha times
        what it would be without the weights, and nobody else's changes.

        `labels` int64 (M,): the item index to be predicted at each output; `weights` float32 (M,).
        """
        items = offsets = None
        if self.sampler is not None:
            start, tokens = self.layout.base_vocab, rows["input_ids"]
            items, offsets = self.sampler.draw(torch.cat([labels, tokens[tokens >= start] - start]))
            labels = torch.searchsorted(items, labels)
            rows["input_ids"] = torch.where(tokens < start, tokens, start + torch.searchsorted(items, tokens - start))
        table = self.input_table(items)
        states = self.states(table, **rows)
        output = self.output_rows(table, items)
        total = weighted_item_cross_entropy(states, output, labels, weights, offsets=offsets, dtype=self.loss_dtype)
        return {"loss": total / (len(labels) if num_items_in_batch is None else num_items_in_batch)}


class DiscriminatorModel(ItemModel):
    """Yes/No model; its forward is the loss of eq. (3).

    The answer is read from the two tokens `yes` and `no` of the output layer alone: confidence = softmax over the two.
    """

    def __init__(self, *args: Any, yes_token: int, no_token: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.yes_token, self.no_token = yes_token, no_token

    def log_odds(self, **rows: torch.Tensor) -> torch.Tensor:
        """log P(Yes) - log P(No) at each output, float32 (M,)."""
        table = self.input_table()
        states = self.states(table, **rows)
        head = table if self.head is None else self.head.weight
        # Not a matrix product: the order in which that adds up depends on how many are asked.
        return (states.float() * (head[self.yes_token].float() - head[self.no_token].float())).sum(1)

    def forward(
        self,
        labels: torch.Tensor,
        weights: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
        shift_labels: torch.Tensor | None = None,
        **rows: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Weighted binary cross entropy of Yes (label 1) and No (label 0), divided by the number of answers."""
        odds = self.log_odds(**rows)
        each = functional.binary_cross_entropy_with_logits(odds, labels.float(), reduction="none")
        total = (each * weights).sum()
        return {"loss": total / (len(labels) if num_items_in_batch is None else num_items_in_batch)}


def tables_of(llm: PreTrainedModel) -> list[torch.nn.Parameter]:
    """The embeddings, (vocabulary, D), and, if it is another table, the output layer."""
    return list(dict.fromkeys((llm.get_input_embeddings().weight, llm.get_output_embeddings().weight)))
