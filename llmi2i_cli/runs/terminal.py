"""Text of unknown origin (ids, titles, file names) on a terminal, which takes some characters for commands."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def shown(text: str) -> str:
    """The text with its control characters written as Python writes them: ``\\x1b``."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
