"""What decides which interactions are held out: a model may only be trained further where these stay unseen.

Held out are the latest interactions, of a user or of the log. Where an option of `prepare` changes, what used to be
before them may be among them now. That is why options, and not the interactions, are compared: what a night adds cannot
make a trained interaction a test one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.options import spelled
from llmi2i_cli.runs.manifests import read_manifest

# Options of prepare that choose what is held out, or leave out rows that would be.
DECISIVE = (
    *("split", "split_column", "target_event", "since", "until", "days"),
    *("event_weight", "weight_column", "min_rating", "min_user_items", "min_item_users"),
)
OWN_FILES = "--valid and --test"  # in the place of a split
OPEN = {"since": "", "until": "~"}  # the bounds of a window, and what stands before, or behind, all that can be given
DIGITS = len("2026-11-20T23:59:59.999999")  # numbers of as many digits are in order as text, as dates are


def held_out_by(workdir: Path) -> dict[str, Any]:
    """The options that decide about the prepared log, by name; nothing of a log that is the user's own."""
    manifest = read_manifest(workdir / "prepare" / "manifest.json")
    if manifest is None:
        return {}
    options = manifest["options"]
    found = {name: options.get(name) for name in DECISIVE}
    return {**found, "split": OWN_FILES} if options.get("valid") or options.get("test") else found


def what_differs(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first option by which interactions may be held out now that were trained on before; None without one.

    What is not known of one of the two is let be.
    """
    for name in (each for each in DECISIVE if each in before and each in now):
        if not _holds(name, before[name], now[name]):
            return f"{spelled(name)}: {_shown(before[name])} then, {_shown(now[name])} now"
    return None


def _holds(name: str, before: Any, now: Any) -> bool:
    """Whether the option is the same; a window may move on with the days."""
    if name not in OPEN:
        return bool(before == now)
    was, value = (OPEN[name] if bound is None else bound.zfill(DIGITS) for bound in (before, now))
    return value >= was


def _shown(value: Any) -> str:
    return " ".join(map(str, value if isinstance(value, list) else [value])) if value else "none"
