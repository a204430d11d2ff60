"""The work directory: which stage reads and writes what, and how a run of a stage is published, skipped and resumed.

`STAGES` is the one table of the pipeline. From it follow the order of the commands, the hint "run `llmi2i X` first",
what makes a stage stale, and the table of `llmi2i status`.

A run of a stage goes through `stage_run`:

1. the options and the contents of the inputs give a *fingerprint*; if the manifest of the last run has the same one and
   its outputs are untouched, there is nothing to do;
2. outputs are written into ``<folder>/.partial-<label>-<fingerprint>/``; it survives a kill, the same command goes on;
3. when all are whole they are renamed into the folder, the manifest last.

Nothing half-written is ever seen under an artifact's own name; a run killed while it publishes is completed next time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from llmi2i_cli import __version__
from llmi2i_cli.errors import ArtifactError, InputError, Llmi2iError, UsageError, WorkdirError

MODELS = ("swing", "bm25", "bpr", "youtubednn")
DATA = ("real", "fused")
INDEX_FORMATS = ("parquet", "jsonl", "mmap")

# Packages whose version can change an artifact's bytes; each manifest records them.
RECORDED_PACKAGES = ("torch", "transformers", "numpy", "numba", "polars", "implicit")
# What every manifest holds; any other key is what its stage found or chose.
MANIFEST_KEYS = (
    "stage", "fingerprint", "options", "variant", "inputs", "versions", "outputs", "seconds", "finished_at"
)  # fmt: skip


@dataclass(frozen=True)
class Read:
    """One input of a stage; `only` limits it to the runs whose variant has these values."""

    path: str
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A row of the table: paths are relative to the work directory, ``{model}`` and the like come from the variant.

    `writes` are relative to the stage's folder; a trailing slash marks a directory. `extras` are outputs that only some
    runs write, each with the option that asks for it.
    """

    name: str
    folder: str
    does: str
    reads: tuple[Read, ...] = ()
    writes: tuple[str, ...] = ()
    extras: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    variants: tuple[Mapping[str, str], ...] = ({},)

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
I2I_VARIANTS = tuple({"model": model, "data": data} for model in MODELS for data in DATA)

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "prepare",
            "prepare",
            "read logs, clean and split them, mark the long tail",
            writes=("interactions.parquet", "items.parquet", "users.parquet"),
        ),
        Stage(
            "sft-gen",
            "sft-gen",
            "fine-tune the generator on the users' histories",
            reads=PREPARED,
            writes=("model/", "log.jsonl"),
        ),
        Stage(
            "sft-gen --examples-only",
            "sft-gen",
            "write the generator's training examples for other trainers",
            reads=PREPARED,
            writes=("examples.jsonl",),
            label="examples",
        ),
        Stage(
            "sft-disc",
            "sft-disc",
            "fine-tune the discriminator to answer Yes or No",
            reads=(*PREPARED, Read("sft-gen/model/")),
            writes=("model/", "log.jsonl"),
        ),
        Stage(
            "synthesize",
            "synthesize",
            "let the generator propose items for every user",
            reads=(*PREPARED, Read("sft-gen/model/")),
            writes=("candidates.parquet",),
        ),
        Stage(
            "filter",
            "filter",
            "let the discriminator judge the proposals",
            reads=(*PREPARED, Read("sft-disc/model/"), Read("synthesize/candidates.parquet")),
            writes=("scored.parquet",),
            extras={"scored-real.parquet": "--include-real"},
        ),
        Stage(
            "fuse",
            "fuse",
            "join the kept proposals to the real log",
            reads=(*PREPARED, Read("filter/scored.parquet")),
            writes=("interactions.parquet",),
            extras={"sweep.parquet": "--tune"},
        ),
        Stage(
            "train-i2i",
            "i2i",
            "train Swing, BM25, BPR or YoutubeDNN on the real or the fused log",
            reads=(*PREPARED, Read("fuse/interactions.parquet", only={"data": ("fused",)})),
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
                Read("i2i/{model}-{data}.parquet", only={"model": MODELS}),
                Read("sft-gen/model/", only={"model": ("generator",)}),
            ),
            writes=("{model}-{data}-{split}.json",),
            extras={"{model}-{data}-{split}.users.parquet": ""},
            label="{model}-{data}-{split}",
            variants=(
                *({**variant, "split": "test"} for variant in I2I_VARIANTS),
                {"model": "generator", "data": "real", "split": "test"},
            ),
        ),
        Stage(
            "export-index",
            "index",
            "write the item -> top-K index that is served",
            reads=(Read("prepare/items.parquet"), Read("i2i/{model}-{data}.parquet")),
            writes=("{model}-{data}.{format}",),
            label="{model}-{data}.{format}",
            variants=tuple({**variant, "format": form} for variant in I2I_VARIANTS for form in INDEX_FORMATS),
        ),
    )
}


def producer_of(path: str) -> str:
    """The command line that writes `path` (relative to the work directory), for "run ... first"."""
    for stage in STAGES.values():
        for variant in stage.variants:
            for name, option in {**dict.fromkeys(stage.writes, ""), **stage.extras}.items():
                if path == f"{stage.folder}/{name.format(**variant)}":
                    options = [f"--{key} {value}" for key, value in variant.items()]
                    arguments = "INPUT..." if stage.name == "prepare" else ""
                    return " ".join(filter(None, ("llmi2i", stage.name, arguments, *options, option)))
    return "llmi2i prepare INPUT..."


def require(workdir: Path, path: str) -> Path:
    """The absolute place of an artifact; ArtifactError naming the stage that makes it when it is not there."""
    found = workdir / path
    if not found.exists():
        raise ArtifactError(f"{found} is missing: run `{producer_of(path)} -w {workdir}` first")
    return found


# --- contents -------------------------------------------------------------------------------------------------------


def file_digest(path: Path) -> str:
    """BLAKE2b-128 of a file's contents, as hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _files_under(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _describe(path: Path, relative_to: Path | None, known: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Size, time and digest of a file, or of each file of a directory; unchanged size and time spare the digest.

    Names are relative to `relative_to`, or as they are when that is None.
    """
    described = {}
    for file in _files_under(path):
        name = str(file) if relative_to is None else os.path.relpath(file, relative_to)
        stat = file.stat()
        entry: dict[str, Any] = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        before = known.get(name, {})
        same = all(before.get(key) == value for key, value in entry.items())
        entry["digest"] = before["digest"] if same else file_digest(file)
        described[name] = entry
    return described


def _digests(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: entry["digest"] for name, entry in entries.items()}


def read_manifest(path: Path) -> dict[str, Any] | None:
    """A stage's manifest, or None when there is none or it cannot be read (the stage then counts as not done)."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and all(key in manifest for key in MANIFEST_KEYS) else None


def write_json(path: Path, value: Any) -> None:
    """Write JSON to a temporary name, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


# --- state of a stage -----------------------------------------------------------------------------------------------


def output_changes(workdir: Path, stage: Stage, manifest: Mapping[str, Any]) -> str | None:
    """What is wrong with the outputs that `manifest` lists: the first one missing or changed, or None."""
    for name, entry in manifest["outputs"].items():
        path = workdir / stage.folder / name
        if not path.exists():
            return f"{stage.folder}/{name} is missing"
        stat = path.stat()
        if stat.st_size != entry["bytes"]:
            return f"{stage.folder}/{name} was changed"
        if stat.st_mtime_ns != entry["mtime_ns"] and file_digest(path) != entry["digest"]:
            return f"{stage.folder}/{name} was changed"
    return None


def input_changes(manifest: Mapping[str, Any], workdir: Path) -> str | None:
    """The first input that is gone or differs from what the manifest's run has read, or None."""
    for name, entry in manifest["inputs"].items():
        path = workdir / name  # an absolute name stays as it is
        if not path.exists():
            return f"{name} is missing"
        stat = path.stat()
        same = stat.st_size == entry["bytes"] and stat.st_mtime_ns == entry["mtime_ns"]
        if not same and (stat.st_size != entry["bytes"] or file_digest(path) != entry["digest"]):
            return f"{name} changed"
    return None


# --- locks ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _lock(workdir: Path, name: str, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Hold ``.locks/<name>`` until the end of the block; the kernel frees it when the process dies.

    When another process holds it, `wait` for it or raise WorkdirError naming it.
    """
    folder = workdir / ".locks"
    path = folder / f"{name}.lock"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = path.open("a+")
        except FileNotFoundError:  # another process let go of its lock just now and took the empty folder away
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            handle.seek(0)
            owner = handle.read().strip() or "?"
            handle.close()
            raise WorkdirError(
                f"another process (pid {owner}) is running {busy} in {workdir}: wait for it, or use another --workdir"
            ) from None
        # The former holder unlinks its file when it ends: a lock on that orphan protects nothing, so look again.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(handle.fileno()).st_ino:
                break
        handle.close()
    try:
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        handle.close()
        with contextlib.suppress(OSError):
            folder.rmdir()


# --- a run ----------------------------------------------------------------------------------------------------------


class StageRun:
    """One run of a stage, while its lock is held. `up_to_date` tells that there is nothing to do.

    Attributes
    ----------
    partial : directory of outputs in the making and of what lets a killed run go on; one for each fingerprint
    manifest : of the run that is published: the former one when `up_to_date`, else None until `publish`
    """

    def __init__(self, workdir: Path, stage: Stage, variant: Mapping[str, str], fingerprint: str) -> None:
        self.workdir, self.stage, self.variant, self.fingerprint = workdir, stage, dict(variant), fingerprint
        self.folder = workdir / stage.folder
        self._partial_prefix = stage.partial_prefix(variant)
        self.partial = self.folder / f"{self._partial_prefix}{fingerprint[:16]}"
        self.manifest_path = self.folder / stage.manifest_name(variant)
        self.manifest: dict[str, Any] | None = None
        self.up_to_date = False
        self._publishing = False
        self._description: dict[str, Any] = {}
        self._started = time.monotonic()

    def output(self, name: str) -> Path:
        """Where to write an output, ``{model}`` and the like filled in, until it is published."""
        return self.partial / name.format(**self.variant)

    def publish(self, *, rows: Mapping[str, int] | None = None, **details: Any) -> dict[str, Any]:
        """Rename what was written into the stage's folder and write the manifest; returns it.

        Parameters
        ----------
        rows : rows of each tabular output, by its name
        details : further entries of the manifest: what the run chose or found
        """
        outputs = [
            name
            for name in (n.format(**self.variant) for n in (*self.stage.writes, *self.stage.extras))
            if (self.partial / name).exists()
        ]
        described: dict[str, dict[str, Any]] = {}
        for name in outputs:
            described |= _describe(self.partial / name, self.partial, {})
        for name, count in (rows or {}).items():
            described[name.format(**self.variant)]["rows"] = count
        manifest = {
            "stage": self.stage.name,
            **self._description,
            "outputs": described,
            **details,
            "seconds": round(time.monotonic() - self._started, 3),
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        with self.publishing():
            write_json(self.partial / "manifest.json", manifest)
            self._install(manifest)
        return manifest

    @contextlib.contextmanager
    def publishing(self) -> Iterator[dict[str, Any] | None]:
        """Hold the one lock under which outputs are completed and moved into the folder; shards take turns here.

        Yields the manifest if another shard has published while this one waited (there is then nothing left to do),
        else None. `publish` takes the lock by itself; a block around it keeps what comes before under the lock, too.
        """
        if self._publishing:
            yield None
            return
        name = f"publish{self._partial_prefix}{self.stage.folder}"
        with _lock(self.workdir, name, f"`llmi2i {self.stage.name}`", wait=True):
            self._publishing = True
            try:
                yield None if self.partial.exists() else read_manifest(self.manifest_path)
            finally:
                self._publishing = False

    def _install(self, manifest: dict[str, Any]) -> None:
        """Move outputs and then the manifest into place. Safe to repeat after a kill: what has moved is skipped."""
        self.manifest_path.unlink(missing_ok=True)
        tops = {name.split("/", 1)[0] for name in manifest["outputs"]}
        for name in (n.format(**self.variant).rstrip("/") for n in (*self.stage.writes, *self.stage.extras)):
            source, target = self.partial / name, self.folder / name
            if name in tops and not source.exists():
                continue  # moved before the kill
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            if name in tops:
                source.replace(target)
        (self.partial / "manifest.json").replace(self.manifest_path)
        self.manifest = manifest
        self._sweep()

    def _sweep(self) -> None:
        """Remove partial work that a published result has made useless, whatever options it was begun with."""
        for leftover in self.stage.partials(self.workdir, self.variant):
            shutil.rmtree(leftover, ignore_errors=True)

    def discard(self) -> None:
        """Remove what this run wrote, and the directories that it made."""
        shutil.rmtree(self.partial, ignore_errors=True)


def shard_label(shards: int, shard: int) -> str:
    """Name of a shard for its lock, ``""`` when there is only one. UsageError if `shard` is not in 1 .. `shards`."""
    if not 1 <= shard <= shards:
        raise UsageError(f"--shard {shard} is not one of the {shards} shards: they are numbered from 1")
    return f"{shard}-of-{shards}" if shards > 1 else ""


def _versions() -> dict[str, str]:
    found = {"llmi2i": __version__, "python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


@contextlib.contextmanager
def stage_run(
    workdir: Path,
    name: str,
    *,
    options: Mapping[str, Any],
    variant: Mapping[str, str] | None = None,
    files: Sequence[Path] = (),
    also_reads: Sequence[str] = (),
    resumable: bool = True,
    force: bool = False,
    shard: str = "",
) -> Iterator[StageRun]:
    """Run one stage: lock it, tell whether it is up to date, and keep its partial work for the next try.

    Parameters
    ----------
    options : what decides the result, JSON-serialisable (no thread counts, no shard numbers, nothing about display)
    variant : values for the stage's ``{model}``, ``{data}``, ...
    files : inputs outside the work directory, as the user named them
    also_reads : further inputs inside the work directory that some options ask for
    resumable : what an unfinished run wrote is of use to the next one; without it nothing of it is kept
    force : run although everything is up to date
    shard : ``"2-of-8"``; shards of a stage have a lock each and share the partial directory

    Raises
    ------
    ArtifactError, InputError : an input is missing
    WorkdirError : the directory is not writable, or another process is running this stage in it
    """
    stage, variant = STAGES[name], dict(variant or {})
    try:
        inputs = _read_inputs(workdir, stage, variant, also_reads, files)
    except OSError as error:
        raise _workdir_error(error, workdir) from error
    description = {
        "options": json.loads(json.dumps(dict(options), default=str)),
        "variant": variant,
        "inputs": inputs,
        "versions": _versions(),
    }
    identity = [__version__, name, variant, description["options"], sorted(_digests(inputs).items())]
    fingerprint = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()

    run = StageRun(workdir, stage, variant, fingerprint)
    run._description = {"fingerprint": fingerprint, **description}
    existed = [path.exists() for path in (workdir, run.folder)]
    what = "-".join(filter(None, (name, *variant.values(), shard)))
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        with _lock(workdir, what, f"`llmi2i {name}`"):
            _resume_publication(run)
            run.up_to_date = not force and _still_current(run, inputs)
            if not run.up_to_date:
                if not resumable:
                    run.discard()
                run.partial.mkdir(exist_ok=True)
            elif not shard:
                run._sweep()  # what a kill at the very end of the publication has left
            try:
                yield run
            except BaseException as error:
                if not resumable and not run.up_to_date:
                    run.discard()
                elif isinstance(error, Llmi2iError) and not shard:
                    with contextlib.suppress(OSError):
                        run.partial.rmdir()  # only if nothing was done before the mistake was found
                raise
    except OSError as error:
        raise _workdir_error(error, workdir) from error
    finally:
        for made, was_there in zip((run.folder, workdir), reversed(existed), strict=True):
            if not was_there:
                with contextlib.suppress(OSError):
                    made.rmdir()  # only if the run left it empty


def _read_inputs(
    workdir: Path, stage: Stage, variant: Mapping[str, str], also_reads: Sequence[str], files: Sequence[Path]
) -> dict[str, dict[str, Any]]:
    """Describe everything that a run reads: artifacts by their path in the work directory, other files by their own."""
    manifest = read_manifest(workdir / stage.folder / stage.manifest_name(variant))
    known = manifest["inputs"] if manifest else {}
    inputs: dict[str, dict[str, Any]] = {}
    for path in (*stage.inputs_of(variant), *also_reads):
        inputs |= _describe(require(workdir, path), workdir, known)
    for file in files:
        if not file.exists():
            raise InputError(f"{file}: no such file")
        inputs |= _describe(file.resolve(), None, known)
    return inputs


def _resume_publication(run: StageRun) -> None:
    """Finish what a run of the same fingerprint was publishing when it was killed."""
    if not run.partial.exists():
        return
    with run.publishing():
        pending = read_manifest(run.partial / "manifest.json")
        if pending is not None:
            run._install(pending)


def _still_current(run: StageRun, inputs: Mapping[str, Mapping[str, Any]]) -> bool:
    manifest = read_manifest(run.manifest_path)
    if manifest is None or manifest["fingerprint"] != run.fingerprint:
        return False
    if output_changes(run.workdir, run.stage, manifest) is not None:
        return False
    _refresh_times(run, manifest, inputs)
    run.manifest = manifest
    return True


def _refresh_times(run: StageRun, manifest: dict[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Give outputs that are up to date a time after their inputs', so that make, too, sees them as up to date."""
    newest_input = max((entry["mtime_ns"] for entry in inputs.values()), default=0)
    files = [run.folder / name for name in manifest["outputs"]]
    folders = {run.folder / Path(name).parts[0] for name in manifest["outputs"]}  # directories are targets, too
    dated = [path for path in dict.fromkeys((*files, *folders)) if path.stat().st_mtime_ns < newest_input]
    now = max(time.time_ns(), newest_input)
    for path in dated:
        os.utime(path, ns=(now, now))
    times = {os.path.relpath(path, run.folder): path.stat().st_mtime_ns for path in files}
    if manifest["inputs"] == inputs and all(manifest["outputs"][name]["mtime_ns"] == at for name, at in times.items()):
        return
    for name, at in times.items():
        manifest["outputs"][name]["mtime_ns"] = at
    manifest["inputs"] = dict(inputs)
    write_json(run.manifest_path, manifest)


def _workdir_error(error: OSError, workdir: Path) -> WorkdirError:
    where, number = error.filename or workdir, error.errno
    if number is None and (told := re.search(r"os error (\d+)", str(error))):  # Polars keeps it in the text alone
        number = int(told[1])
    if number == errno.ENOSPC:
        return WorkdirError(
            f"no space left on the device that holds {workdir}: free some and run the same command again"
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return WorkdirError(f"{where} cannot be read or written: change its permissions or use another --workdir")
    if number in (errno.ENOTDIR, errno.EEXIST):
        return WorkdirError(f"{where} is not a directory: use another --workdir")
    return WorkdirError(f"{where}: {error.strerror or error}; the work done so far is kept, run the same command again")
