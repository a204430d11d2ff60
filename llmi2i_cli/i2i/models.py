"""The four models by name: their options and defaults, the grids that they are tuned on, and how to train one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.errors import UsageError

if TYPE_CHECKING:
    from llmi2i_cli.artifacts.histories import Histories
    from llmi2i_cli.i2i.neighbours import Neighbours
    from llmi2i_cli.i2i.youtube_dnn import Validation, YoutubeDNN

# Swing: the weights and smoothing of the literature that did best on held-out data. BM25: implicit's. BPR: implicit's,
# with the paper's 100 factors. YoutubeDNN and the seed of both: LLM-CF's.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "swing": {
        "smoothing": 5.0,
        "user_weight": "sqrt",
        "max_user_items": 1000,
        "max_item_users": 0,
        "normalise": False,
        "seed": 42,
    },
    "bm25": {"k1": 1.2, "b": 0.75},
    "bpr": {"factors": 100, "learning_rate": 0.1, "regularization": 0.01, "iterations": 100, "seed": 2023},
    "youtubednn": {
        "dimensions": 64,
        "negatives": 128,
        "learning_rate": 0.001,
        "weight_decay": 1e-5,
        "batch_size": 256,
        "epochs": 50,
        "patience": 2,
        "seed": 2023,
    },
}

# BPR and YoutubeDNN take minutes where Swing takes seconds: few points, on what matters most.
GRIDS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "swing": {"user_weight": ("sqrt", "one"), "smoothing": (1.0, 5.0, 20.0)},
    "bm25": {"k1": (0.1, 0.3, 0.6, 1.2), "b": (0.25, 0.5, 0.75)},
    "bpr": {"learning_rate": (0.1, 0.2), "regularization": (0.01, 0.03)},
    "youtubednn": {"learning_rate": (0.001, 0.002)},
}

# Models whose neighbours are the nearest of all items' vectors, exactly or by faiss; and the number of items from which
# the exact search, n_items^2 x d multiplications, takes longer than the training.
DENSE_MODELS = ("bpr", "youtubednn")
EXACT_SEARCH_ITEMS = 1_000_000

OPTION_NAMES = tuple(dict.fromkeys(name for options in DEFAULTS.values() for name in options))


@dataclass(frozen=True)
class Trained:
    """What training gives: the neighbours and, from a model that can rank by users' vectors, the model."""

    neighbours: Neighbours
    youtube_dnn: YoutubeDNN | None = None


def complete_options(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a model: those `given`, else the defaults. UsageError for one that the model does not have."""
    for name in given:
        if name not in DEFAULTS[model]:
            owners = " and ".join(other for other, options in DEFAULTS.items() if name in options)
            raise UsageError(f"--{name.replace('_', '-')} is an option of {owners}, not of {model}: leave it out")
    return {**DEFAULTS[model], **given}


def grid(model: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points that tuning tries, each with all options; what is `given` stays as it is."""
    axes = {name: values for name, values in GRIDS[model].items() if name not in given}
    fixed = complete_options(model, given)
    return [{**fixed, **dict(zip(axes, values, strict=True))} for values in itertools.product(*axes.values())]


def train(
    model: str,
    histories: Histories,
    *,
    top_k: int,
    options: Mapping[str, Any],
    search: str = "exact",
    validation: Validation | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Trained:
    """Train a model by its name.

    Parameters
    ----------
    options : all of them, from `complete_options`
    search : how one of `DENSE_MODELS` finds its neighbours; the others take no notice
    validation : what YoutubeDNN's early stopping watches; the others need none
    checkpoint : file by which YoutubeDNN goes on after a kill
    on_progress : called with (done, total, text)
    """

    def without_text(done: int, total: int) -> None:
        if on_progress:
            on_progress(done, total, "")

    if model == "swing":
        from llmi2i_cli.i2i.swing import swing_neighbours

        return Trained(swing_neighbours(histories, top_k=top_k, on_progress=without_text, **options))
    if model == "bm25":
        from llmi2i_cli.i2i.bm25 import bm25_neighbours

        return Trained(bm25_neighbours(histories, top_k=top_k, on_progress=without_text, **options))
    if model == "bpr":
        from llmi2i_cli.i2i.bpr import bpr_neighbours

        return Trained(bpr_neighbours(histories, top_k=top_k, search=search, on_progress=without_text, **options))
    from llmi2i_cli.i2i.youtube_dnn import train_youtube_dnn

    youtube_dnn = train_youtube_dnn(
        histories, validation=validation, checkpoint=checkpoint, on_progress=on_progress, **options
    )
    return Trained(youtube_dnn.neighbours(top_k=top_k, search=search), youtube_dnn)
