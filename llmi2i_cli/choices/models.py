"""The table of item-to-item models: one row each.

A further model is one file with a function `train(job, options)` (see `i2i.training`), its options in `model_options`
and one row here: the command line, tuning, the manifests, the status, the evaluation, the export and the reference
follow from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from llmi2i_cli.choices import model_options
from llmi2i_cli.choices.blends import names_of
from llmi2i_cli.choices.options import as_given, check_bounds, declared, spelled
from llmi2i_cli.errors import UsageError

# What a neighbour is put down to, by what the model that found it reads.
SHARES: Mapping[str, str] = {"log": "counts", "texts": "text", "vectors": "vectors", "generator": "llm"}


@dataclass(frozen=True)
class Model:
    """A row of the table.

    Attributes
    ----------
    name : as in ``--model NAME`` and in the names of artifacts
    label : as people write it
    about : what it is, in a few words
    train : dotted path of the function ``(job, options) -> Trained``
    options : dataclass of its options
    grid : the values that ``train-i2i --tune`` tries, by option; every combination is a point
    ranks_by : how ``evaluate --ranking`` can rank with it, its default first
    user_ranker : dotted path of the class that ranks by users' vectors, where `ranks_by` has ``user-vectors``
    dense : its neighbours are the nearest of all items' vectors, which can be searched approximately
    by_rows : its table is made row by row, so that the rows can be shared out
    reads : what it is made from: the ``log`` (real or fused), the items' ``texts``, a file of ``vectors`` that the user
        has, the trained ``generator``, other models' tables (``parts``)
    next_points : dotted path of a function ``(best point, given) -> points`` by which tuning goes on after the grid,
        until nothing that it names is better
    """

    name: str
    label: str
    about: str
    train: str
    options: type
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    ranks_by: tuple[str, ...] = ("index",)
    user_ranker: str | None = None
    dense: bool = False
    by_rows: bool = False
    reads: tuple[str, ...] = ("log",)
    next_points: str | None = None

    @property
    def share(self) -> str:
        """What a neighbour is put down to that the model finds; by the first that it reads, where it reads several."""
        return SHARES[self.reads[0]]

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options: those `given`, else the defaults.

        Raises
        ------
        UsageError : an option that the model does not have, or one out of bounds
        """
        for name in given:
            if name not in declared(self.options):
                owners = " and ".join(row.name for row in MODELS.values() if name in declared(row.options))
                raise UsageError(f"{spelled(name)} is an option of {owners}, not of {self.name}: leave it out")
        complete = self.options(**given)
        check_bounds(complete)
        return dict(as_given(complete))

    def points(self, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The points that tuning tries, each with all options; what is `given` stays as it is."""
        axes = {name: values for name, values in self.grid.items() if name not in given}
        fixed = self.complete(given)
        return [{**fixed, **dict(zip(axes, values, strict=True))} for values in itertools.product(*axes.values())]


# BPR and YoutubeDNN take minutes where Swing takes seconds: few points, on what matters most.
MODELS: Mapping[str, Model] = {
    row.name: row
    for row in (
        Model(
            "swing",
            "Swing",
            "pairs of users that share two items",
            "llmi2i_cli.i2i.swing:train",
            model_options.SwingOptions,
            {"user_weight": ("sqrt", "one"), "smoothing": (1.0, 5.0, 20.0)},
            by_rows=True,
        ),
        Model(
            "bm25",
            "BM25",
            "co-occurrence, popular items and long histories counting less",
            "llmi2i_cli.i2i.bm25:train",
            model_options.Bm25Options,
            {"k1": (0.1, 0.3, 0.6, 1.2), "b": (0.25, 0.5, 0.75)},
            by_rows=True,
        ),
        Model(
            "itemknn",
            "ItemKNN",
            "cosine of the items' users, with shrinkage",
            "llmi2i_cli.i2i.itemknn:train",
            model_options.ItemKnnOptions,
            {"shrinkage": (0.0, 3.0, 10.0, 30.0, 100.0)},
            by_rows=True,
        ),
        Model(
            "rp3beta",
            "RP3beta",
            "random walk of three steps, popular items counting less",
            "llmi2i_cli.i2i.rp3beta:train",
            model_options.Rp3BetaOptions,
            {"alpha": (0.5, 1.0, 1.5), "beta": (0.2, 0.4, 0.6, 0.8)},
            by_rows=True,
        ),
        Model(
            "ease",
            "EASE",
            "linear autoencoder in closed form, for up to some ten thousand items",
            "llmi2i_cli.i2i.ease:train",
            model_options.EaseOptions,
            {"penalty": (10.0, 50.0, 250.0, 1000.0)},
        ),
        Model(
            "bpr",
            "BPR",
            "matrix factorisation by pairwise ranking",
            "llmi2i_cli.i2i.bpr:train",
            model_options.BprOptions,
            {"learning_rate": (0.1, 0.2), "regularization": (0.01, 0.03)},
            dense=True,
        ),
        Model(
            "youtubednn",
            "YoutubeDNN",
            "two-tower network over the user and recent items",
            "llmi2i_cli.i2i.youtube_dnn_training:train",
            model_options.YoutubeDnnOptions,
            {"learning_rate": (0.001, 0.003, 0.01, 0.03)},
            ranks_by=("user-vectors", "index"),
            user_ranker="llmi2i_cli.i2i.youtube_dnn:YoutubeDNN",
            dense=True,
        ),
        Model(
            "text",
            "Text",
            "TF-IDF cosine of the items' texts; reads no log",
            "llmi2i_cli.i2i.text:train",
            model_options.TextOptions,
            {"k1": (0.0, 1.2), "idf": (0.5, 1.0, 1.5)},
            by_rows=True,
            reads=("texts",),
        ),
        Model(
            "vectors",
            "Vectors",
            "cosine of vectors that you have of the items; reads no log",
            "llmi2i_cli.i2i.vectors:train",
            model_options.VectorsOptions,
            {"power": (1.0, 2.0, 4.0, 8.0, 16.0)},
            dense=True,
            reads=("vectors",),
        ),
        Model(
            "embedding",
            "Embedding",
            "cosine of the items' vectors in the trained generator",
            "llmi2i_cli.i2i.embedding:train",
            model_options.EmbeddingOptions,
            {"power": (1.0, 2.0, 4.0, 8.0, 16.0)},
            dense=True,
            reads=("generator",),
        ),
        Model(
            "next-item",
            "Next item",
            "what the trained generator expects after an item",
            "llmi2i_cli.i2i.next_item:train",
            model_options.NextItemOptions,
            {"power": (0.3, 0.5, 0.7), "discount": (0.0, 0.2, 0.4)},
            reads=("generator",),
        ),
        Model(
            "blend",
            "Blend",
            "a weighted sum of other models' tables",
            "llmi2i_cli.i2i.blend:train",
            model_options.BlendOptions,
            reads=("parts",),
            next_points="llmi2i_cli.choices.blends:next_points",
        ),
        Model(
            "llm-blend",
            "Blend with LLM",
            "the same with a table of the trained generator among the parts",
            "llmi2i_cli.i2i.blend:train",
            model_options.LlmBlendOptions,
            reads=("parts",),
            next_points="llmi2i_cli.choices.blends:next_points",
        ),
    )
}
BEST = "blend"  # what is served unless something else is asked for, and what judges candidates and ways to fuse
GENERATOR = "generator"  # what else `evaluate` can measure: the LLM of sft-gen itself


class TableName(NamedTuple):
    """A table of neighbours: a model, trained on the ``real`` or the ``fused`` log."""

    model: str
    data: str

    @property
    def path(self) -> str:
        """In the work directory."""
        return f"i2i/{self.model}-{self.data}.parquet"


def has_variant(model: str, data: str) -> bool:
    """Whether there is a table of this model on this log: what does not read the log has one, called ``real``."""
    return data == "real" or bool({"log", "parts"} & set(MODELS[model].reads))


def parts_of(model: str, options: Mapping[str, Any], data: str) -> tuple[tuple[str, str], ...]:
    """The tables that a model is made from, as (model, data); none for most. UsageError for what is not a part."""
    if "parts" not in MODELS[model].reads:
        return ()
    names = names_of(options["parts"])
    for name in names:
        if name not in MODELS or "parts" in MODELS[name].reads:
            able = ", ".join(row.name for row in MODELS.values() if "parts" not in row.reads)
            raise UsageError(f"--parts {options['parts']}: {name!r} cannot be blended; {able} can")
    return tuple((name, data if has_variant(name, data) else "real") for name in names)


def sources_of(model: str) -> frozenset[str]:
    """What a model reads (see `Model.reads`) by its default options, its parts' sources included."""
    row = MODELS[model]
    parts = parts_of(model, row.complete({}), "real")
    return frozenset(row.reads).union(*(MODELS[part].reads for part, _ in parts))


# What can judge a log: the models whose tables follow from it.
JUDGES = tuple(model for model in MODELS if has_variant(model, "fused"))


def files_of(model: str, options: Mapping[str, Any]) -> tuple[Path, ...]:
    """The user's files that a model is made from; none for most. UsageError where one is needed and not given."""
    if "vectors" not in MODELS[model].reads:
        return ()
    if not options["item_vectors"]:
        raise UsageError(f"--model {model} needs --item-vectors FILE: Parquet with item_id and a column of vectors")
    return (Path(options["item_vectors"]),)


def rankings_of(model: str) -> tuple[str, ...]:
    """How `evaluate` can rank with a model, its default first; the generator ranks by itself."""
    return MODELS[model].ranks_by if model in MODELS else (GENERATOR,)
