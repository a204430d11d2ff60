"""A softmax over a sample of a large catalogue: which items a step looks at, and what each of them stands for.

The normaliser of a target y, Z = sum_i exp(l_i), is estimated from the items D that were drawn for the step,

    Z' = exp(l_y) + sum_{i in D, i != y} exp(l_i) / p_i,    p_i = P(i in D) = 1 - (1 - q_i) ** draws,

which is right in expectation (Horvitz and Thompson), so that only its logarithm is a little off; with every item drawn
it is the full softmax. Dividing by p_i is adding ``-log p_i`` to the logit, the logQ correction. The target counts once
and as it is, whether it was drawn or not: an accidental hit is no negative.

Half of the draws go by popularity, because common items make up most of a normaliser, and half are uniform, so that
none of the others is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class ItemSampler:
    """Draws the items of a step with torch's own random numbers, which the Trainer restores when it resumes.

    Attributes
    ----------
    ends : float64 (n_items,), shares q_i summed up to each item
    offsets : float32 (n_items,), ``-log p_i``
    draws : how often an item is drawn, with replacement
    """

    ends: torch.Tensor
    offsets: torch.Tensor
    draws: int

    @classmethod
    def of_counts(cls, counts: NDArray[np.integer[Any]], draws: int) -> ItemSampler:
        """Half uniform, half in proportion to `counts`, int (n_items,), the interactions of each item."""
        share = 1 / len(counts) + counts / max(1, counts.sum())
        share /= share.sum()
        with np.errstate(divide="ignore"):  # a single item has the share 1
            drawn = -np.expm1(draws * np.log1p(-share))
        return cls(torch.from_numpy(np.cumsum(share)), torch.from_numpy(-np.log(drawn).astype(np.float32)), draws)

    def draw(self, needed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The items of a step.

        Parameters
        ----------
        needed : int64 (n,), items that the step reads besides: targets and histories

        Returns
        -------
        items : int64 (C,), ascending: those drawn and those needed, each once
        offsets : float32 (C,), to be added to the logits; -inf for an item that was not drawn
        """
        places = torch.searchsorted(self.ends, torch.rand(self.draws, dtype=torch.float64), right=True)
        drawn = places.clamp_(max=len(self.ends) - 1)  # the shares may sum up to a little less than 1
        found = self.offsets[drawn].to(needed.device)
        drawn = drawn.to(needed.device)
        items = torch.unique(torch.cat([drawn, needed]))
        offsets = torch.full((len(items),), -torch.inf, device=needed.device)
        offsets[torch.searchsorted(items, drawn)] = found
        return items, offsets
