"""All files that a log is prepared from: the logs with their formats, catalogues and profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.formats import AUTO, FORMATS, InputFormat
from llmi2i_cli.choices.preparation import PrepareOptions
from llmi2i_cli.data.formats import resolve_formats
from llmi2i_cli.data.inputs import Inputs, expand_inputs, sort_inputs
from llmi2i_cli.errors import UsageError


@dataclass(frozen=True)
class Gathered:
    """The files of a run, each in the order in which it is read.

    Attributes
    ----------
    notices : lines that say what became of the files that lay beside the logs
    """

    logs: Sequence[tuple[Path, InputFormat]]
    items: Sequence[Path]
    users: Sequence[Path]
    notices: Sequence[str]

    @property
    def files(self) -> list[Path]:
        return [*(path for path, _ in self.logs), *self.items, *self.users]

    def as_json(self) -> dict[str, Any]:
        """What a manifest lists of them; their order decides about rows of equal time."""
        return {
            "logs": [(str(path.resolve()), form.name) for path, form in self.logs],
            "items": [str(path.resolve()) for path in self.items],
            "users": [str(path.resolve()) for path in self.users],
        }


def gather(inputs: Sequence[Path], items: Sequence[Path], users: Sequence[Path], options: PrepareOptions) -> Gathered:
    """Find the files that inputs, catalogues and profiles stand for, and tell the formats of the logs.

    Files among the inputs that their format's names tell to be about items or users (RecBole's ``.item`` and ``.user``)
    stand in for `items` and `users`.

    Raises
    ------
    InputError : a file is missing or unreadable, or there is no log
    UsageError : a file is given twice, or the options ask for what the formats do not have
    """
    asked = None if options.read.format == AUTO else FORMATS[options.read.format]
    _once(expand_inputs(inputs), "INPUT")
    found = sort_inputs(inputs, asked)
    logs = resolve_formats(found.logs, asked)
    _check_formats([form for _, form in logs], options)
    item_files = _once(expand_inputs(items), "--items") or found.items
    user_files = _once(expand_inputs(users), "--users") or found.users
    return Gathered(logs, item_files, user_files, _notices(found, item_files, user_files))


def _once(files: Sequence[Path], option: str) -> Sequence[Path]:
    if len({file.resolve() for file in files}) < len(files):
        raise UsageError(f"a file of {option} is given twice")
    return files


def _check_formats(forms: Sequence[InputFormat], options: PrepareOptions) -> None:
    if options.split.split == "last-day" and not forms[0].has_times:  # none has times where one has none
        raise UsageError(f"{forms[0].name} have no times, so there is no last day: use --split leave-last-two")
    if options.read.columns and not any(form.has_named_columns for form in forms):
        raise UsageError(f"{forms[0].name} name no columns: leave out --user-column, --item-column and --time-column")


def _notices(found: Inputs, item_files: Sequence[Path], user_files: Sequence[Path]) -> list[str]:
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


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)
