"""All files that a log is prepared from: the logs with their formats, catalogues and profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from llmi2i_cli.choices.formats import AUTO, FORMATS, InputFormat
from llmi2i_cli.choices.preparation import PrepareOptions, Split
from llmi2i_cli.data.formats import resolve_formats
from llmi2i_cli.data.inputs import Inputs, expand_inputs, sort_inputs
from llmi2i_cli.errors import UsageError
from llmi2i_cli.files.places import Place


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a run was given: paths of files and of directories, patterns and URLs.

    Attributes
    ----------
    inputs : logs; where there is `valid` or `test`, for training alone
    valid, test : logs that are held out
    items, users : catalogues and profiles, in any format with named columns
    """

    inputs: Sequence[str | Path]
    valid: Sequence[str | Path] = ()
    test: Sequence[str | Path] = ()
    items: Sequence[str | Path] = ()
    users: Sequence[str | Path] = ()


class LogFile(NamedTuple):
    """A log file; `split` is what its interactions are, where some files are given to be held out."""

    path: Place
    form: InputFormat
    split: Split = "train"


@dataclass(frozen=True)
class Gathered:
    """The files of a run, each in the order in which it is read: logs to be held out follow those for training.

    Attributes
    ----------
    notices : lines that say what became of the files that lay beside the logs
    """

    logs: Sequence[LogFile]
    items: Sequence[Place]
    users: Sequence[Place]
    notices: Sequence[str]

    @property
    def files(self) -> list[Place]:
        return [*(file.path for file in self.logs), *self.items, *self.users]

    @property
    def has_split_files(self) -> bool:
        """Whether files tell what is held out."""
        return any(file.split != "train" for file in self.logs)

    def as_json(self) -> dict[str, Any]:
        """What a manifest lists of them; their order decides about rows of equal time."""
        return {
            **{name: self._logs_of(split) for name, split in (("logs", "train"), ("valid", "valid"), ("test", "test"))},
            "items": [str(path.resolve()) for path in self.items],
            "users": [str(path.resolve()) for path in self.users],
        }

    def _logs_of(self, split: str) -> list[tuple[str, str]]:
        return [(str(file.path.resolve()), file.form.name) for file in self.logs if file.split == split]


def gather(given: Given, options: PrepareOptions) -> Gathered:
    """Find the files that inputs, catalogues and profiles stand for, and tell the formats of the logs.

    Files among the inputs that their format's names tell to be about items or users (RecBole's ``.item`` and ``.user``)
    stand in for catalogues and profiles.

    Raises
    ------
    InputError : a file is missing or unreadable, or there is no log
    UsageError : a file is given twice, or the options ask for what the formats do not have
    """
    asked = None if options.read.format == AUTO else FORMATS[options.read.format]
    if (given.valid or given.test) and (options.split.split_column or options.split.split != "leave-last-two"):
        raise UsageError("--valid and --test stand in the place of --split and --split-column: leave these out")
    found = sort_inputs(given.inputs, asked)
    by_split: dict[Split, Sequence[Place]] = {
        "train": found.logs,
        "valid": expand_inputs(given.valid),
        "test": expand_inputs(given.test),
    }
    all_files = [*found.items, *found.users, *found.others, *(path for paths in by_split.values() for path in paths)]
    _once(all_files, "INPUT, --valid or --test")
    paths = [(path, split) for split, paths in by_split.items() for path in paths]
    forms = resolve_formats([path for path, _ in paths], asked)
    _check_formats([form for _, form in forms], options)
    logs = [LogFile(path, form, split) for (path, form), (_, split) in zip(forms, paths, strict=True)]
    item_files = _once(expand_inputs(given.items), "--items") or found.items
    user_files = _once(expand_inputs(given.users), "--users") or found.users
    return Gathered(logs, item_files, user_files, _notices(found, item_files, user_files))


def _once(files: Sequence[Place], option: str) -> Sequence[Place]:
    if len({file.resolve() for file in files}) < len(files):
        raise UsageError(f"a file of {option} is given twice")
    return files


def _check_formats(forms: Sequence[InputFormat], options: PrepareOptions) -> None:
    name = forms[0].name
    if not forms[0].has_times:  # none has times where one has none
        if options.split.split == "last-day":
            raise UsageError(f"{name} have no times, so there is no last day: use --split leave-last-two")
        if options.clean.has_window:
            raise UsageError(f"{name} have no times: leave out --since, --until and --days")
    if options.named_columns and not any(form.has_named_columns for form in forms):
        raise UsageError(f"{name} name no columns: leave out {' and '.join(options.named_columns)}")


def _notices(found: Inputs, item_files: Sequence[Place], user_files: Sequence[Place]) -> list[str]:
    left_out = list(found.others)
    notices = []
    for beside, taken, what, option in (
        (found.items, item_files, "catalogue", "--items"),
        (found.users, user_files, "users' profiles", "--users"),
    ):
        if beside and taken is beside:
            notices.append(f"{_names(beside)}: read as the {what}; {option} takes another file")
        left_out += [path for path in beside if path not in taken]
    if left_out:
        notices.append(f"{_names(left_out)}: left out, no log")
    return notices


def _names(paths: Sequence[Place]) -> str:
    return ", ".join(str(path) for path in paths)
