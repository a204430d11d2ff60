"""The one table of the pipeline: which stage reads and writes what.

From it follow the order of the commands, the hint "run `llmi2i X` first", what makes a stage stale, and the rows of
`llmi2i status`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from llmi2i_cli.choices.index_forms import INDEX_FORMS
from llmi2i_cli.choices.models import GENERATOR, MODELS, has_variant
from llmi2i_cli.errors import ArtifactError

DATA = ("real", "fused")
KEPT_LOG = "log/"  # of prepare, where it is to be appended to
CHOICES = "refit/choices.json"  # of another work directory, where this one was refitted with them


@dataclass(frozen=True)
class Read:
    """One input of a stage; `only` limits it to the runs whose variant has these values."""

    path: str
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A row of the table: paths are relative to the work directory, ``{model}`` and the like come from the variant.

    `writes` are relative to the stage's folder; a trailing slash marks a directory. `extras` are outputs that only some
    runs write, each with the option that asks for it. `many_processes` may share one run (torchrun); other stages run
    as one process, or as shards. An `optional` stage is no step of every pipeline: nobody misses it.
    """

    name: str
    folder: str
    does: str
    reads: tuple[Read, ...] = ()
    writes: tuple[str, ...] = ()
    extras: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    variants: tuple[Mapping[str, str], ...] = ({},)
    many_processes: bool = False
    optional: bool = False

    def manifest_name(self, variant: Mapping[str, str]) -> str:
        label = self.label.format(**variant)
        return f"{label}.manifest.json" if label else "manifest.json"

    def partial_prefix(self, variant: Mapping[str, str]) -> str:
        """What the names of this variant's partial directories begin with; 16 hexadecimal digits follow."""
        label = self.label.format(**variant)
        return f".partial-{label}-" if label else ".partial-"

    def partials(self, workdir: Path, variant: Mapping[str, str]) -> list[Path]:
        """Partial directories of this variant, and of no other stage that writes into the same folder."""
        return sorted((workdir / self.folder).glob(self.partial_prefix(variant) + "[0-9a-f]" * 16))

    def inputs_of(self, variant: Mapping[str, str]) -> list[str]:
        """Paths, relative to the work directory, that this variant reads."""
        return [
            read.path.format(**variant)
            for read in self.reads
            if all(variant.get(key) in allowed for key, allowed in read.only.items())
        ]


PREPARED = (Read("prepare/interactions.parquet"), Read("prepare/items.parquet"), Read("prepare/users.parquet"))
FROM_GENERATOR = tuple(row.name for row in MODELS.values() if "generator" in row.reads)
I2I_VARIANTS = tuple({"model": model, "data": data} for model in MODELS for data in DATA if has_variant(model, data))

EVALUATION_FIGURES = ("recall-by-popularity", "recommended", "gains")


def _pictures(*names: str) -> dict[str, str]:
    """As extras: drawn from the result when it is there, so in no manifest, and removed when another is published."""
    return {f"{name}.{ending}": "--plot" for name in names for ending in ("png", "svg")}


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "prepare",
            "prepare",
            "read logs, clean and split them, mark the long tail",
            writes=("interactions.parquet", "items.parquet", "users.parquet"),
            extras={KEPT_LOG: "--append"},
        ),
        Stage(
            "sft-gen",
            "sft-gen",
            "fine-tune the generator on the users' histories",
            reads=PREPARED,
            writes=("model/", "log.jsonl"),
            many_processes=True,
        ),
        Stage(
            "sft-gen --examples-only",
            "sft-gen",
            "write the generator's training examples for other trainers",
            reads=PREPARED,
            writes=("examples.jsonl",),
            label="examples",
            optional=True,
        ),
        Stage(
            "sft-disc",
            "sft-disc",
            "fine-tune the discriminator to answer Yes or No",
            reads=(*PREPARED, Read("sft-gen/model/")),
            writes=("model/", "log.jsonl"),
            extras={"held-back/": "--negatives generator"},
            many_processes=True,
        ),
        Stage(
            "synthesize",
            "synthesize",
            "let the generator propose items for every user",
            reads=(*PREPARED, Read("sft-gen/model/")),
            writes=("candidates.parquet", "questions.parquet"),
        ),
        Stage(
            "filter",
            "filter",
            "let the discriminator judge the proposals",
            reads=(*PREPARED, Read("sft-disc/model/"), Read("synthesize/candidates.parquet")),
            writes=("scored.parquet", "questions.parquet"),
            extras={"scored-real.parquet": "--include-real"},
        ),
        Stage(
            "fuse",
            "fuse",
            "join the kept proposals to the real log",
            reads=(*PREPARED, Read("filter/scored.parquet")),
            writes=("interactions.parquet",),
            extras={"sweep.parquet": "--tune", **_pictures("sweep")},
        ),
        Stage(
            "train-i2i",
            "i2i",
            "train an item-to-item model on the real or the fused log",
            reads=(
                *PREPARED,
                Read("fuse/interactions.parquet", only={"data": ("fused",)}),
                Read("sft-gen/model/", only={"model": FROM_GENERATOR}),
            ),
            writes=("{model}-{data}.parquet",),
            extras={"{model}-{data}.sweep.parquet": "--tune", "{model}-{data}.vectors.npz": ""},
            label="{model}-{data}",
            variants=I2I_VARIANTS,
        ),
        Stage(
            "evaluate",
            "evaluate",
            "measure Recall and NDCG on held-out interactions",
            reads=(
                *PREPARED,
                Read("i2i/{model}-{data}.parquet", only={"model": tuple(MODELS)}),
                Read("sft-gen/model/", only={"model": (GENERATOR,)}),
            ),
            writes=("{model}-{data}-{split}.json",),
            extras={
                "{model}-{data}-{split}.users.parquet": "",
                **_pictures(*(f"{{model}}-{{data}}-{{split}}.{name}" for name in EVALUATION_FIGURES)),
            },
            label="{model}-{data}-{split}",
            variants=tuple(
                {**variant, "split": split}
                for variant in (*I2I_VARIANTS, {"model": GENERATOR, "data": "real"})
                for split in ("test", "valid")
            ),
        ),
        Stage(
            "export-index",
            "index",
            "write the item -> top-K index that is served",
            reads=(Read("prepare/items.parquet"), Read("i2i/{model}-{data}.parquet")),
            writes=("{model}-{data}.{format}",),
            label="{model}-{data}.{format}",
            variants=tuple({**variant, "format": form} for variant in I2I_VARIANTS for form in INDEX_FORMS),
        ),
        Stage(
            "refit",
            "refit",
            "take the choices of another work directory, to train on more of the log with them",
            writes=(Path(CHOICES).name,),
            optional=True,
        ),
        Stage(
            "report",
            "report",
            "put the results, plots and some items' neighbours on one page",
            reads=(Read("prepare/items.parquet"),),
            writes=("report.html",),
            optional=True,
        ),
    )
}


class Maker(NamedTuple):
    """The stage and variant that write an artifact; `option` is the one that asks for it, if it is an extra."""

    stage: Stage
    variant: Mapping[str, str]
    option: str

    @property
    def command(self) -> str:
        """The command line of the run, for "run ... first"."""
        options = [f"--{key} {value}" for key, value in self.variant.items()]
        arguments = "INPUT..." if self.stage.name == "prepare" else ""
        return " ".join(filter(None, ("llmi2i", self.stage.name, arguments, *options, self.option)))

    def manifest_path(self, workdir: Path) -> Path:
        return workdir / self.stage.folder / self.stage.manifest_name(self.variant)


def maker_of(path: str) -> Maker | None:
    """What writes `path` (relative to the work directory), None for what no stage writes."""
    for stage in STAGES.values():
        for variant in stage.variants:
            for name, option in {**dict.fromkeys(stage.writes, ""), **stage.extras}.items():
                if path == f"{stage.folder}/{name.format(**variant)}":
                    return Maker(stage, variant, option)
    return None


def producer_of(path: str) -> str:
    """The command line that writes `path` (relative to the work directory), for "run ... first"."""
    maker = maker_of(path)
    return maker.command if maker else "llmi2i prepare INPUT..."


def require(workdir: Path, path: str) -> Path:
    """The absolute place of an artifact; ArtifactError naming the stage that makes it when it is not there."""
    found = workdir / path
    if not found.exists():
        raise ArtifactError(f"{found} is missing: run `{producer_of(path)} -w {workdir}` first")
    return found
