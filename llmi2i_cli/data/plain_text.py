"""Values of catalogues and profiles as one line of plain text."""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

LONGEST_TEXT = 1000  # characters; far more than the share of a prompt that one item gets

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_SAYS_NOTHING = re.compile(r"[a-z]+://\S*|[-+\d.,:/#%$€£¥ ]*")


def normalise(text: str) -> str:
    """One line of plain text: HTML entities and tags resolved, Unicode composed (NFC), white space single.

    Half a character, as a title that was cut in UTF-16 ends with, becomes a question mark.
    """
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    return " ".join(unicodedata.normalize("NFC", text).encode(errors="replace").decode().split())


def plain(value: Any) -> str:
    """A value as text, empty for None and numbers that are none; lists and objects are flattened, joined by spaces."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):  # as pandas writes what is not there
        return ""
    if isinstance(value, (list, tuple)):
        return " ".join(filter(None, map(plain, value)))
    if isinstance(value, dict):
        return " ".join(filter(None, map(plain, value.values())))
    return normalise(str(value))


def says_something(text: str) -> bool:
    """Whether a text is more than a link, a price, a rank or a date."""
    return not _SAYS_NOTHING.fullmatch(text)


def describe(title: str, parts: Iterable[Any]) -> str:
    """Title and further parts as one text, ``title. part. part``, of at most `LONGEST_TEXT` characters.

    Parts that say nothing are left out; a part that opens with the text so far (a description that repeats the title)
    takes its place. Full stops are not doubled.
    """
    text = title
    for part in map(plain, parts):
        if says_something(part):
            text = part if part.startswith(text) else f"{text.removesuffix('.')}. {part}"
        if len(text) >= LONGEST_TEXT:
            break
    return text[:LONGEST_TEXT].rstrip()


def name_values(pairs: Iterable[tuple[str, Any]]) -> str:
    """Named values as ``name: value; name: value``, empty ones left out, of at most `LONGEST_TEXT` characters."""
    named = ((name, plain(value)) for name, value in pairs)
    return "; ".join(f"{name}: {value}" for name, value in named if value)[:LONGEST_TEXT].rstrip()
