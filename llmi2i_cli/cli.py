"""The commands in pipeline order, thin: types, help and one call each. Nothing heavy is imported here."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from llmi2i_cli import __version__

app = typer.Typer(
    name="llmi2i",
    help="Better item-to-item recommenders from the same log: one LLM generates interactions, another keeps the good.",
    epilog="Stages run in the order above, on files in --workdir. Each does nothing when its result is up to date.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Workdir = Annotated[
    Path,
    typer.Option("--workdir", "-w", envvar="LLMI2I_WORKDIR", help="Directory of all artifacts.", file_okay=False),
]
Seed = Annotated[int, typer.Option(help="Seed of everything random; same seed and inputs, same bytes.", min=0)]
Force = Annotated[bool, typer.Option("--force", help="Run although the result is up to date.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
I2IModel = Annotated[Literal["swing", "bm25", "bpr", "youtubednn"], typer.Option(help="Item-to-item model.")]
Data = Annotated[Literal["real", "fused"], typer.Option(help="Log it is trained on: as it is, or with LLM's.")]
Epochs = Annotated[float | None, typer.Option(help="Passes over the users.", show_default="the base's")]
LearningRate = Annotated[float | None, typer.Option(help="Peak of the linear decay.", show_default="the base's", min=0)]
BatchSize = Annotated[
    int | None, typer.Option(help="Users a step, over all processes.", show_default="the base's", min=1)
]
GradientAccumulation = Annotated[int, typer.Option(help="Parts that a step's users are worked on in.", min=1)]
MaxLength = Annotated[
    int | None, typer.Option(help="Tokens a user; older items drop out.", show_default="the base's", min=4)
]
DeepSpeed = Annotated[
    Path | None, typer.Option(help="DeepSpeed configuration (JSON), or zero2 for llmi2i's own.", dir_okay=False)
]
Attention = Annotated[
    Literal["auto", "sdpa", "flash_attention_2"],
    typer.Option(help="Attention kernel; auto takes flash_attention_2 where flash-attn and a CUDA device are."),
]
Template = Annotated[
    Path | None, typer.Option(help="Text with {profile} and {history} to replace the prompt.", dir_okay=False)
]
CheckpointSteps = Annotated[int, typer.Option(help="Steps between checkpoints; 0: one an epoch.", min=0)]
Resume = Annotated[bool, typer.Option("--resume/--no-resume", help="Go on from a killed run's last checkpoint.")]
Shards = Annotated[int, typer.Option(help="Parts that the users are shared out in; each may run anywhere.", min=1)]
Shard = Annotated[int, typer.Option(help="Which part this run does, from 1.", min=1)]


class IndexFormat(StrEnum):
    """A Literal cannot be repeated on the command line."""

    parquet = "parquet"
    jsonl = "jsonl"
    mmap = "mmap"


WORKDIR = Path("work")


def _print_json(result: Any) -> None:
    sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")


def _print_manifest(manifest: dict[str, Any] | None, as_json: bool) -> None:
    """What a stage did: its manifest as JSON, or the rows that it wrote and what it chose as a table."""
    if as_json:
        _print_json(manifest)
        return
    if manifest is None:  # another shard will finish the stage
        return
    from llmi2i_cli.manifests import MANIFEST_KEYS
    from llmi2i_cli.tables import print_table

    rows: list[tuple[str, Any]] = [
        (f"rows of {name}", entry["rows"]) for name, entry in manifest["outputs"].items() if "rows" in entry
    ]
    for key, value in manifest.items():
        if key not in MANIFEST_KEYS:
            parts = value.items() if isinstance(value, dict) else [("", value)]
            rows += [(f"{key} {name}".strip().replace("_", " "), part) for name, part in parts]
    rows.append(("seconds", manifest["seconds"]))
    print_table(manifest["stage"], ("", "value"), rows, numeric=("value",))


def _print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"llmi2i {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Options of the program itself; `--debug` is taken out of the arguments by `__main__`, anywhere it stands."""


# --- commands, in pipeline order; each example is run by the tests ---------------------------------------------------


@app.command()
def prepare(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Log files, or directories of them.")],
    workdir: Workdir = WORKDIR,
    format: Annotated[
        Literal["auto", "sequences", "amazon", "csv", "jsonl", "parquet", "recbole"],
        typer.Option(help="Format of the inputs; auto tells it by names and contents. All but Parquet may be gzipped."),
    ] = "auto",
    items: Annotated[
        list[Path] | None, typer.Option(help="Catalogue: item_id, title and other columns, any format. Repeatable.")
    ] = None,
    users: Annotated[
        list[Path] | None, typer.Option(help="Users: user_id and profile, or any columns, any format. Repeatable.")
    ] = None,
    user_column: Annotated[str | None, typer.Option(help="Column of user ids; by default user_id or the like.")] = None,
    item_column: Annotated[str | None, typer.Option(help="Column of item ids; by default item_id or the like.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Column of times; by default timestamp or the like.")] = None,
    time_unit: Annotated[
        Literal["auto", "s", "ms", "us", "ns"],
        typer.Option(help="What numeric times count since 1970, for last-day; auto tells it by their size."),
    ] = "auto",
    split: Annotated[
        Literal["leave-last-two", "last-day", "none"],
        typer.Option(help="Hold out each user's last two interactions, or the log's last two days (UTC), or nothing."),
    ] = "leave-last-two",
    eval_users: Annotated[
        int | None,
        typer.Option(help="Held-out interactions of this many random users a day, for last-day.", min=1),
    ] = None,
    min_user_items: Annotated[int, typer.Option(help="k-core: different items a user has at least.", min=0)] = 0,
    min_item_users: Annotated[int, typer.Option(help="k-core: different users an item has at least.", min=0)] = 0,
    max_user_items: Annotated[int, typer.Option(help="Most recent interactions kept of a user.", min=1)] = 1000,
    tail_max_count: Annotated[
        int, typer.Option(help="Long tail in reports: items with at most this many interactions in all.", min=0)
    ] = 5,
    tail_fraction: Annotated[
        float, typer.Option(help="Long tail in training: this share of the items, the least bought.", min=0, max=1)
    ] = 0.2,
    bucket_mib: Annotated[
        int, typer.Option(help="MiB of text worked on at a time; lower it when memory is short.", min=1)
    ] = 512,
    seed: Seed = 42,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Read logs, clean and split them, mark the long tail.

    Example: llmi2i prepare clicks.csv --items catalogue.csv -w work
    """
    from llmi2i_cli.stages.prepare import prepare

    summary = prepare(
        inputs,
        workdir=workdir,
        format=format,
        items=items or (),
        users=users or (),
        user_column=user_column,
        item_column=item_column,
        time_column=time_column,
        time_unit=time_unit,
        split=split,
        eval_users=eval_users,
        min_user_items=min_user_items,
        min_item_users=min_item_users,
        max_user_items=max_user_items,
        tail_max_count=tail_max_count,
        tail_fraction=tail_fraction,
        bucket_mib=bucket_mib,
        seed=seed,
        force=force,
    )
    if as_json:
        _print_json(summary)
        return
    from llmi2i_cli.tables import print_table

    shown = {**summary, "density": f"{summary['density']:.3%}", "long_tail_share": f"{summary['long_tail_share']:.1%}"}
    rows = [(name.replace("_", " "), value) for name, value in shown.items() if name != "up_to_date"]
    print_table(str(workdir / "prepare"), ("", "value"), rows, numeric=("value",))


@app.command("sft-gen")
def sft_gen(
    workdir: Workdir = WORKDIR,
    base_model: Annotated[
        str, typer.Option(help="Base: a preset (llama-tiny, llama-small, llama-base), a local directory or a hub id.")
    ] = "llama-tiny",
    alpha: Annotated[float, typer.Option(help="Loss weight of a long-tail target, eq. (2).", min=0)] = 4.0,
    beta: Annotated[float, typer.Option(help="Loss weight of any other target.", min=0)] = 1.0,
    epochs: Epochs = None,
    learning_rate: LearningRate = None,
    batch_size: BatchSize = None,
    gradient_accumulation: GradientAccumulation = 1,
    max_length: MaxLength = None,
    seed: Seed = 42,
    deepspeed: DeepSpeed = None,
    attention: Attention = "auto",
    template: Template = None,
    checkpoint_steps: CheckpointSteps = 0,
    patience: Annotated[
        int, typer.Option(help="Epochs without a better validation figure before it ends; 0: all epochs.", min=0)
    ] = 0,
    softmax: Annotated[
        Literal["auto", "full", "sampled"],
        typer.Option(help="Items a target is compared with: all, or a sample; auto samples above 1,000,000 items."),
    ] = "auto",
    sampled_items: Annotated[int, typer.Option(help="Items drawn a step by a sampled softmax.", min=1)] = 8192,
    resume: Resume = True,
    examples_only: Annotated[
        bool, typer.Option("--examples-only", help="Train nothing; write examples.jsonl for other trainers.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the generator on the users' histories.

    Example: llmi2i sft-gen -w work --base-model llama-tiny --alpha 4
    """
    from llmi2i_cli.stages.sft_gen import sft_gen

    manifest = sft_gen(
        workdir,
        base_model=base_model,
        alpha=alpha,
        beta=beta,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        max_length=max_length,
        seed=seed,
        deepspeed=deepspeed,
        attention=attention,
        template=template,
        checkpoint_steps=checkpoint_steps,
        patience=patience,
        softmax=softmax,
        sampled_items=sampled_items,
        resume=resume,
        examples_only=examples_only,
        force=force,
    )
    _print_manifest(manifest, as_json)


@app.command("sft-disc")
def sft_disc(
    workdir: Workdir = WORKDIR,
    base_model: Annotated[
        str | None,
        typer.Option(help="Base, as in sft-gen.", show_default="a generator that has not seen the judged interactions"),
    ] = None,
    negatives: Annotated[
        Literal["uniform", "popularity", "generator"],
        typer.Option(help="Where the No examples come from; generator trains a second one without the last items."),
    ] = "generator",
    negatives_per_positive: Annotated[int, typer.Option(help="No examples for each Yes.", min=1)] = 15,
    epochs: Epochs = None,
    learning_rate: LearningRate = None,
    batch_size: BatchSize = None,
    gradient_accumulation: GradientAccumulation = 1,
    max_length: MaxLength = None,
    seed: Seed = 42,
    deepspeed: DeepSpeed = None,
    attention: Attention = "auto",
    template: Template = None,
    checkpoint_steps: CheckpointSteps = 0,
    resume: Resume = True,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the discriminator to answer Yes or No to a candidate.

    Example: llmi2i sft-disc -w work --negatives generator
    """
    from llmi2i_cli.stages.sft_disc import sft_disc

    manifest = sft_disc(
        workdir,
        base_model=base_model,
        negatives=negatives,
        negatives_per_positive=negatives_per_positive,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        max_length=max_length,
        seed=seed,
        deepspeed=deepspeed,
        attention=attention,
        template=template,
        checkpoint_steps=checkpoint_steps,
        resume=resume,
        force=force,
    )
    _print_manifest(manifest, as_json)


@app.command()
def synthesize(
    workdir: Workdir = WORKDIR,
    history: Annotated[int, typer.Option(help="Most recent interactions that the generator is shown.", min=1)] = 10,
    recall_number: Annotated[int, typer.Option(help="Candidates a user.", min=1)] = 30,
    only_users: Annotated[
        Path | None, typer.Option(help="File of user ids, one a line: only these get candidates.", dir_okay=False)
    ] = None,
    shards: Shards = 1,
    shard: Shard = 1,
    attention: Attention = "auto",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Let the generator propose items for every user.

    Example: llmi2i synthesize -w work --recall-number 30 --shards 8 --shard 1
    """
    from llmi2i_cli.stages.synthesize import synthesize

    manifest = synthesize(
        workdir,
        history=history,
        recall_number=recall_number,
        only_users=only_users,
        shards=shards,
        shard=shard,
        attention=attention,
        force=force,
    )
    _print_manifest(manifest, as_json)


@app.command("filter")
def filter_candidates(
    workdir: Workdir = WORKDIR,
    min_confidence: Annotated[
        float,
        typer.Option(help="P(Yes) from which `keep` is set; a tuned fuse chooses its own.", min=0, max=1),
    ] = 0.5,
    include_real: Annotated[bool, typer.Option("--include-real", help="Judge the train interactions, too.")] = False,
    shards: Shards = 1,
    shard: Shard = 1,
    attention: Attention = "auto",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Let the discriminator judge the candidates; all stay, `keep` marks.

    Example: llmi2i filter -w work --min-confidence 0.5
    """
    from llmi2i_cli.stages.filter import filter_candidates

    manifest = filter_candidates(
        workdir,
        min_confidence=min_confidence,
        include_real=include_real,
        shards=shards,
        shard=shard,
        attention=attention,
        force=force,
    )
    _print_manifest(manifest, as_json)


@app.command()
def fuse(
    workdir: Workdir = WORKDIR,
    tune: Annotated[
        bool | None,
        typer.Option("--tune/--no-tune", help="Choose on validation.", show_default="if there is a validation split"),
    ] = None,
    strategy: Annotated[
        Literal["append", "pseudo-user"] | None,
        typer.Option(help="Behind a user's own history, or as a second user.", show_default="tuned, or pseudo-user"),
    ] = None,
    recall_number: Annotated[
        int | None, typer.Option(help="Candidates a user at most.", show_default="tuned, or all", min=0)
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="Confidence they need.", show_default="tuned, or filter's keep", min=0, max=1)
    ] = None,
    order: Annotated[
        Literal["rank", "confidence", "random"] | None,
        typer.Option(
            help="Which candidates come first: generator's, discriminator's or, as a control, any.",
            show_default="tuned, or rank",
        ),
    ] = None,
    copied_history: Annotated[
        int | None,
        typer.Option(help="Latest interactions that a pseudo user copies.", show_default="tuned, or all", min=1),
    ] = None,
    weight: Annotated[
        Literal["one", "confidence"] | None,
        typer.Option(help="What a candidate counts beside a real 1.", show_default="tuned, or confidence"),
    ] = None,
    include_real: Annotated[
        bool, typer.Option("--include-real", help="Leave out real interactions that filter --include-real doubts.")
    ] = False,
    drop_real: Annotated[
        float | None,
        typer.Option(
            help="Share of them, the least confident.", show_default="tuned, or filter's keep", min=0, max=0.99
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Join the kept candidates to the real log.

    Example: llmi2i fuse -w work --strategy pseudo-user --recall-number 5
    """
    from llmi2i_cli.stages.fuse import fuse

    manifest = fuse(
        workdir,
        tune=tune,
        strategy=strategy,
        recall_number=recall_number,
        min_confidence=min_confidence,
        order=order,
        copied_history=copied_history,
        weight=weight,
        include_real=include_real,
        drop_real=drop_real,
        force=force,
    )
    _print_manifest(manifest, as_json)


@app.command("train-i2i")
def train_i2i(
    workdir: Workdir = WORKDIR,
    model: I2IModel = "swing",
    data: Data = "real",
    top_k: Annotated[int, typer.Option(help="Neighbours kept of each item.", min=1)] = 200,
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose the model's options by Recall@10 on the validation split.")
    ] = False,
    search: Annotated[
        Literal["exact", "faiss"],
        typer.Option(help="BPR and YoutubeDNN: how neighbours are found; faiss is for a million items and more."),
    ] = "exact",
    smoothing: Annotated[
        float | None,
        typer.Option(help="Swing: added to the number of items that two users share.", show_default="5", min=0),
    ] = None,
    user_weight: Annotated[
        str | None,
        typer.Option(help="Swing: one, sqrt = 1/sqrt(n), or A:B = (A + n)^-B, n a user's items.", show_default="sqrt"),
    ] = None,
    max_user_items: Annotated[
        int | None,
        typer.Option(help="Swing: most recent interactions used of a user, 0 for all.", show_default="1000", min=0),
    ] = None,
    max_item_users: Annotated[
        int | None, typer.Option(help="Swing: users sampled of an item, 0 for all.", show_default="0", min=0)
    ] = None,
    normalise: Annotated[
        bool | None,
        typer.Option(
            "--normalise/--no-normalise", help="Swing: scale scores to at most 1 an item.", show_default="no-normalise"
        ),
    ] = None,
    k1: Annotated[float | None, typer.Option(help="BM25: K1, saturation.", show_default="1.2", min=0)] = None,
    b: Annotated[
        float | None, typer.Option(help="BM25: B, weight of the length.", show_default="0.75", min=0, max=1)
    ] = None,
    factors: Annotated[int | None, typer.Option(help="BPR: factors of an item.", show_default="100", min=1)] = None,
    regularization: Annotated[float | None, typer.Option(help="BPR: L2 penalty.", show_default="0.01", min=0)] = None,
    iterations: Annotated[int | None, typer.Option(help="BPR: passes over the log.", show_default="100", min=1)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="BPR and YoutubeDNN: learning rate.", show_default="0.1 and 0.001", min=0)
    ] = None,
    dimensions: Annotated[int | None, typer.Option(help="YoutubeDNN: of a vector.", show_default="64", min=1)] = None,
    negatives: Annotated[
        int | None, typer.Option(help="YoutubeDNN: random negatives a target.", show_default="128", min=1)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="YoutubeDNN: L2 penalty.", show_default="1e-5", min=0)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="YoutubeDNN: targets a step.", show_default="256", min=1)
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="YoutubeDNN: at most.", show_default="50", min=1)] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="YoutubeDNN: epochs without a better validation Recall@10 before it stops.", show_default="2", min=1
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Swing (its sample), BPR, YoutubeDNN: seed.", show_default="42, 2023, 2023", min=0),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train Swing, BM25, BPR or YoutubeDNN on the real or the fused log.

    Example: llmi2i train-i2i --model swing --data real --tune -w work
    """
    given = {
        "smoothing": smoothing,
        "user_weight": user_weight,
        "max_user_items": max_user_items,
        "max_item_users": max_item_users,
        "normalise": normalise,
        "k1": k1,
        "b": b,
        "factors": factors,
        "regularization": regularization,
        "iterations": iterations,
        "learning_rate": learning_rate,
        "dimensions": dimensions,
        "negatives": negatives,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "epochs": epochs,
        "patience": patience,
        "seed": seed,
    }
    from llmi2i_cli.stages.train_i2i import train_i2i

    manifest = train_i2i(
        workdir,
        model=model,
        data=data,
        top_k=top_k,
        tune=tune,
        search=search,
        model_options={name: value for name, value in given.items() if value is not None},
        force=force,
    )
    result = {"model": model, "data": data, **{key: manifest[key] for key in ("choice", "validation_recall_at_10")}}
    if as_json:
        _print_json(result)
        return
    from llmi2i_cli.tables import print_table

    recall = result["validation_recall_at_10"]
    rows = [*manifest["choice"].items(), *([("validation recall@10", f"{recall:.4f}")] if recall is not None else [])]
    rows.append(("neighbours", manifest["outputs"][f"{model}-{data}.parquet"]["rows"]))
    print_table(f"{model} on the {data} log", ("option", "value"), rows, numeric=("value",))


@app.command()
def evaluate(
    workdir: Workdir = WORKDIR,
    model: Annotated[
        Literal["swing", "bm25", "bpr", "youtubednn", "generator"],
        typer.Option(help="What ranks: an item-to-item model, or the LLM of sft-gen itself."),
    ] = "swing",
    data: Data = "real",
    split: Annotated[Literal["test", "valid"], typer.Option(help="Held-out interactions to find.")] = "test",
    k: Annotated[
        list[int] | None, typer.Option(help="Cut-off K of the metrics. Repeatable.", show_default="5, 10", min=1)
    ] = None,
    recent: Annotated[
        str,
        typer.Option(help="M, recent items looked up; auto: the best of 1 to 100 (generator: 5 to 50)."),
    ] = "auto",
    decay: Annotated[
        str,
        typer.Option(help="What the next older item counts, from the last one's 1; auto: the best of 0.5 to 1."),
    ] = "1",
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen/--keep-seen", help="Leave out of the ranking what the user already has.")
    ] = True,
    ranking: Annotated[
        Literal["auto", "index", "user-vectors"],
        typer.Option(help="Rank by the index, or by YoutubeDNN's own user vectors (its default)."),
    ] = "auto",
    baseline: Annotated[
        Literal["real"] | None, typer.Option(help="Compare with the same model trained on the real log.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Measure Recall, NDCG and MRR on held-out interactions, with 95% intervals.

    Example: llmi2i evaluate --model swing --data real -w work
    """
    from llmi2i_cli.stages.evaluate import evaluate

    result = evaluate(
        workdir,
        model=model,
        data=data,
        split=split,
        ks=k or (5, 10),
        recent=_recent_option(recent),
        decay=_decay_option(decay),
        exclude_seen=exclude_seen,
        ranking=ranking,
        baseline=baseline,
        force=force,
    )
    if as_json:
        _print_json(result)
        return
    from llmi2i_cli.tables import print_evaluation

    print_evaluation(result)


def _recent_option(value: str) -> int | None:
    """`--recent M|auto`; None is auto."""
    if value == "auto":
        return None
    if not value.isdecimal() or int(value) == 0:
        raise typer.BadParameter(f"--recent is a whole number from 1, or auto, not {value!r}")
    return int(value)


def _decay_option(value: str) -> float | None:
    """`--decay D|auto`; None is auto."""
    if value == "auto":
        return None
    try:
        decay = float(value)
    except ValueError:
        decay = 0.0
    if not 0 < decay <= 1:
        raise typer.BadParameter(f"--decay is a number above 0 and at most 1, or auto, not {value!r}")
    return decay


@app.command("export-index")
def export_index(
    workdir: Workdir = WORKDIR,
    model: I2IModel = "swing",
    data: Data = "real",
    top_k: Annotated[
        int | None, typer.Option(help="Neighbours of each item.", show_default="all that were trained", min=1)
    ] = None,
    format: Annotated[
        list[IndexFormat] | None,
        typer.Option(help="Form of the index. Repeatable.", show_default="parquet"),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the item -> top-K index to serve: index/MODEL-DATA.parquet, .jsonl or .mmap/.

    Example: llmi2i export-index --model swing --data real --format jsonl --format mmap -w work
    """
    from llmi2i_cli.stages.export_index import export_index

    formats = [form.value for form in format or (IndexFormat.parquet,)]
    manifests = export_index(workdir, model=model, data=data, top_k=top_k, formats=formats, force=force)
    rows = [
        {"path": str(workdir / "index" / f"{model}-{data}.{form}"), "items": found["items"], "top_k": found["top_k"]}
        for form, found in zip(dict.fromkeys(formats), manifests, strict=True)
    ]
    if as_json:
        _print_json(rows)
        return
    from llmi2i_cli.tables import print_table

    columns = ("path", "items", "top_k")
    print_table("index", columns, [[row[c] for c in columns] for row in rows], numeric=columns[1:])


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Directory to write, of its own.", file_okay=False)],
    users: Annotated[int, typer.Option(help="Number of users.", min=1)] = 10_000,
    items: Annotated[int, typer.Option(help="Number of items.", min=10)] = 2_000,
    interactions: Annotated[int, typer.Option(help="Number of interactions.", min=1)] = 100_000,
    noise: Annotated[
        float, typer.Option(help="Share of interactions that have nothing to do with the user.", min=0, max=1)
    ] = 0.1,
    seed: Seed = 42,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a simulated log and its catalogue, of any size: OUT/interactions.parquet and OUT/items.parquet.

    Example: llmi2i simulate shop --users 10000 --items 2000 --interactions 100000
    """
    from llmi2i_cli.stages.simulate import simulate

    result = simulate(out, users=users, items=items, interactions=interactions, noise=noise, seed=seed, force=force)
    if as_json:
        _print_json(result)


@app.command()
def recommend(
    items: Annotated[list[str] | None, typer.Argument(metavar="[ITEM]...", help="Recent items, oldest first.")] = None,
    workdir: Workdir = WORKDIR,
    file: Annotated[
        Path | None,
        typer.Option(help="Instead: one query a line, a user id or JSON, [items] or {user_id, items}.", dir_okay=False),
    ] = None,
    item: Annotated[str | None, typer.Option(help="Instead: print this item's neighbours.")] = None,
    model: I2IModel = "swing",
    data: Data = "real",
    top_n: Annotated[int, typer.Option(help="Items to print for a query.", min=1)] = 10,
    recent: Annotated[
        str, typer.Option(help="M, recent items looked up; auto: the M that evaluate has chosen, or 100.")
    ] = "auto",
    decay: Annotated[
        str, typer.Option(help="What the next older item counts, from the last one's 1; auto: as in evaluate, or 1.")
    ] = "auto",
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen/--keep-seen", help="Leave out what is in the history.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="Write the ranked items to this .parquet, .csv or .jsonl.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rank items for recent items or users, or show an item's neighbours, with titles.

    Example: llmi2i recommend ITEM1 ITEM2 -w work
    """
    from llmi2i_cli.stages.recommend import neighbours_of, recommend, write_answers

    if item is not None and (items or file or out):
        raise typer.BadParameter("--item stands alone: leave out the other items, --file and --out")
    if item is not None:
        answers = [{"items": neighbours_of(workdir, item, model=model, data=data, top_n=top_n)}]
    else:
        answers = recommend(
            workdir,
            items or (),
            file=file,
            model=model,
            data=data,
            top_n=top_n,
            recent=_recent_option(recent),
            decay=_decay_option(decay),
            exclude_seen=exclude_seen,
        )
    if out:
        write_answers(answers, out)
        return
    if as_json:
        _print_json(answers if file else answers[0]["items"])
        return
    from llmi2i_cli.tables import print_table

    for answer in answers:
        rows = [
            (place, found["item_id"], found["title"], f"{found['score']:.6g}")
            for place, found in enumerate(answer["items"], start=1)
        ]
        title = f"neighbours of {item}" if item is not None else str(answer.get("user_id", ""))
        print_table(title, ("rank", "item_id", "title", "score"), rows, numeric=("rank", "score"))


@app.command()
def status(workdir: Workdir = WORKDIR, as_json: AsJson = False) -> None:
    """Show which stages are done, stale (and why) or missing.

    Example: llmi2i status -w work
    """
    from llmi2i_cli.stages.status import status

    rows = status(workdir)
    if as_json:
        _print_json(rows)
        return
    from llmi2i_cli.tables import print_table

    columns = ("stage", "variant", "state", "why", "rows", "seconds")
    print_table(str(workdir), columns, [[row[c] for c in columns] for row in rows], numeric=("rows", "seconds"))
