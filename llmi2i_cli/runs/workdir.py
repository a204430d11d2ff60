"""Runs of a stage in a work directory: skipped when up to date, resumed when killed, published as a whole.

A run goes through `stage_run`:

1. the options and the contents of the inputs give a *fingerprint*; if the manifest of the last run has the same one and
   its outputs are untouched, there is nothing to do; else what it reads is compared with what was written;
2. outputs are written into ``<folder>/.partial-<label>-<fingerprint>/``; it survives a kill, the same command goes on;
3. when all are whole they are renamed into the folder, the manifest last.

Nothing half-written is ever seen under an artifact's own name, and what was there is replaced in one step; a run killed
while it publishes is completed next time.
When torchrun starts a run as several processes, all of this is the first one's; the others are told what it has found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmi2i_cli import __version__
from llmi2i_cli.errors import Llmi2iError, UsageError, WorkdirError
from llmi2i_cli.files.atomic import put_in_place, write_json
from llmi2i_cli.files.given import check_given, has_utf8_name
from llmi2i_cli.files.places import Place
from llmi2i_cli.runs.disk_errors import one_line_of_the_disk
from llmi2i_cli.runs.locks import HeldLock, lock
from llmi2i_cli.runs.manifests import (
    describe,
    digests,
    is_as_described,
    output_changes,
    read_manifest,
    verify,
    versions,
)
from llmi2i_cli.runs.pipeline import STAGES, Stage, require
from llmi2i_cli.runs.processes import from_first, hear, is_first, tell, world_size
from llmi2i_cli.runs.progress import ProgressBar, progress_bar


class StageRun:
    """One run of a stage, while its lock is held. `up_to_date` tells that there is nothing to do.

    Attributes
    ----------
    partial : directory of outputs in the making and of what lets a killed run go on; one for each fingerprint
    manifest : of the run that is published: the former one when `up_to_date`, else None until `publish`
    description : what the run's manifest says of it, before there is a result: ``options``, ``inputs``, ``versions``
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
        self._lock: HeldLock | None = None
        self.description: dict[str, Any] = {}
        self._started = time.monotonic()

    def output(self, name: str) -> Path:
        """Where to write an output, ``{model}`` and the like filled in, until it is published."""
        return self.partial / name.format(**self.variant)

    @contextlib.contextmanager
    def progress_bar(self, title: str, total: int | None = None) -> Iterator[ProgressBar]:
        """A progress bar for the user, which `llmi2i status` reads from other processes, too."""
        with progress_bar(title, total, report=self._lock.tell if self._lock else None) as bar:
            yield bar

    def publish(self, *, rows: Mapping[str, int] | None = None, **details: Any) -> dict[str, Any]:
        """Rename what was written into the stage's folder and write the manifest; returns it.

        Parameters
        ----------
        rows : rows of each tabular output, by its name
        details : further entries of the manifest: what the run chose or found
        """
        return from_first(lambda: self._publish(rows or {}, details))

    def _publish(self, rows: Mapping[str, int], details: Mapping[str, Any]) -> dict[str, Any]:
        outputs = [
            name
            for name in (n.format(**self.variant) for n in (*self.stage.writes, *self.stage.extras))
            if (self.partial / name).exists()
        ]
        described: dict[str, dict[str, Any]] = {}
        for name in outputs:
            described |= describe(self.partial / name, self.partial, {})
        for name, count in rows.items():
            described[name.format(**self.variant)]["rows"] = count
        manifest = {
            "stage": self.stage.name,
            **self.description,
            "outputs": described,
            **details,
            "seconds": round(time.monotonic() - self._started, 3),
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        with self.publishing():
            if self._lock:
                self._lock.check()
            pending = self.partial / "manifest.json"
            write_json(pending, manifest)
            for name in described:  # libraries may keep what they write to the owner; here the umask decides
                (self.partial / name).chmod(pending.stat().st_mode & 0o777)
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
        with lock(self.workdir, name, f"`llmi2i {self.stage.name}`", wait=True):
            self._publishing = True
            try:
                yield None if self.partial.exists() else read_manifest(self.manifest_path)
            finally:
                self._publishing = False

    def _install(self, manifest: dict[str, Any], *, again: bool = False) -> None:
        """Move outputs and then the manifest into place.

        Each output is replaced in one step. Until all are, the former manifest vouches for none that has changed.
        Done `again` after a kill, what has moved is skipped.
        """
        outputs = manifest["outputs"]
        for name in (n.format(**self.variant).rstrip("/") for n in (*self.stage.writes, *self.stage.extras)):
            source, target = self.partial / name, self.folder / name
            files = {each: outputs[each] for each in outputs if each.split("/", 1)[0] == name}
            if not files:
                shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
            elif source.exists() and not (again and self._are_in_place(files)):
                put_in_place(source, target)
        put_in_place(self.partial / "manifest.json", self.manifest_path)
        self.manifest = manifest
        self._sweep()

    def _are_in_place(self, files: Mapping[str, Mapping[str, Any]]) -> bool:
        paths = {self.folder / name: entry for name, entry in files.items()}
        return all(path.exists() and is_as_described(path, entry, thoroughly=True) for path, entry in paths.items())

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


@contextlib.contextmanager
def stage_run(
    workdir: Path,
    name: str,
    *,
    options: Mapping[str, Any],
    variant: Mapping[str, str] | None = None,
    files: Sequence[Place] = (),
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
    ArtifactError, InputError : an input is missing, or an artifact is not what its run has written
    WorkdirError : the directory is not writable, or another process is running this stage in it
    UsageError : torchrun has started this as several processes, and the stage runs as one
    """
    stage, variant = STAGES[name], dict(variant or {})
    if world_size() > 1 and not stage.many_processes:
        raise UsageError(
            f"`llmi2i {name}` runs as one process: start it without torchrun "
            "(synthesize and filter share their users out with --shards and --shard)"
        )
    if not is_first():
        fingerprint, manifest = hear()
        run = StageRun(workdir, stage, variant, fingerprint)
        run.manifest, run.up_to_date = manifest, manifest is not None
        yield run
        return
    if not has_utf8_name(workdir):
        raise WorkdirError(f"{workdir}: the name is not UTF-8: use another --workdir")
    with one_line_of_the_disk(workdir):
        inputs = _read_inputs(workdir, stage, variant, also_reads, files)
    description = {
        "options": json.loads(json.dumps(dict(options), default=str)),
        "variant": variant,
        "inputs": inputs,
        "versions": versions(),
    }
    identity = [__version__, name, variant, description["options"], sorted(digests(inputs).items())]
    fingerprint = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16).hexdigest()

    run = StageRun(workdir, stage, variant, fingerprint)
    run.description = {"fingerprint": fingerprint, **description}
    if not force and not os.access(run.folder, os.W_OK) and _is_current(run):
        run.up_to_date = True  # nothing has to be written for that, be it a lock
        tell((fingerprint, run.manifest))
        yield run
        return
    existed = [path.exists() for path in (workdir, run.folder)]
    what = "-".join(filter(None, (name, *variant.values(), shard)))
    try:
        with one_line_of_the_disk(workdir):
            run.folder.mkdir(parents=True, exist_ok=True)
            about = {"stage": name, "variant": variant, "shard": shard}
            with lock(workdir, what, f"`llmi2i {name}`", about=about) as run._lock:
                _resume_publication(run)
                run.up_to_date = not force and _is_current(run)
                if run.up_to_date:
                    _refresh_times(run, inputs)
                    if not shard:
                        run._sweep()  # what a kill at the very end of the publication has left
                else:
                    verify(workdir, *stage.inputs_of(variant), *also_reads)
                    if not resumable:
                        run.discard()
                    run.partial.mkdir(exist_ok=True)
                tell((fingerprint, run.manifest if run.up_to_date else None))
                try:
                    yield run
                except BaseException as error:
                    if not resumable and not run.up_to_date:
                        run.discard()
                    elif isinstance(error, Llmi2iError) and not shard:
                        with contextlib.suppress(OSError):
                            run.partial.rmdir()  # only if nothing was done before the mistake was found
                    raise
    finally:
        for made, was_there in zip((run.folder, workdir), reversed(existed), strict=True):
            if not was_there:
                with contextlib.suppress(OSError):
                    made.rmdir()  # only if the run left it empty


def _read_inputs(
    workdir: Path, stage: Stage, variant: Mapping[str, str], also_reads: Sequence[str], files: Sequence[Place]
) -> dict[str, dict[str, Any]]:
    """Describe everything that a run reads: artifacts by their path in the work directory, other files by their own."""
    manifest = read_manifest(workdir / stage.folder / stage.manifest_name(variant))
    known = manifest["inputs"] if manifest else {}
    inputs: dict[str, dict[str, Any]] = {}
    for path in (*stage.inputs_of(variant), *also_reads):
        inputs |= describe(require(workdir, path), workdir, known)
    for file in files:
        check_given(file)
        inputs |= describe(file.resolve(), None, known)
    return inputs


def _resume_publication(run: StageRun) -> None:
    """Finish what a run of the same fingerprint was publishing when it was killed."""
    if not run.partial.exists():
        return
    with run.publishing():
        pending = read_manifest(run.partial / "manifest.json")
        if pending is not None:
            run._install(pending, again=True)


def _is_current(run: StageRun) -> bool:
    """Whether the result that is there is that of this run, which then has its manifest."""
    manifest = read_manifest(run.manifest_path)
    if manifest is None or manifest["fingerprint"] != run.fingerprint:
        return False
    if output_changes(run.workdir, run.stage, manifest) is not None:
        return False
    run.manifest = manifest
    return True


def _refresh_times(run: StageRun, inputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Give outputs that are up to date a time after their inputs', so that make, too, sees them as up to date."""
    assert run.manifest is not None  # it is current
    manifest = run.manifest
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
