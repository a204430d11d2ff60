"""The table of layouts that an index can have in Redis: one row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RedisLayout:
    """A row of the table.

    Attributes
    ----------
    name : as in ``--layout NAME``
    about : how the neighbours of an item stand in Redis, in a few words
    encode : dotted path of the function that returns its `publishing.redis_commands.Encoding`
    separators : what no item id may hold
    """

    name: str
    about: str
    encode: str
    separators: str = ""


REDIS_LAYOUTS: Mapping[str, RedisLayout] = {
    row.name: row
    for row in (
        RedisLayout("zset", "a sorted set by score", "llmi2i_cli.publishing.redis_commands:sorted_set"),
        RedisLayout(
            "list", "a string id:score,id:score, best first", "llmi2i_cli.publishing.redis_commands:text_list", ":,"
        ),
    )
}
