"""What is known about users: profiles from files of any format with named columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from llmi2i_cli.data.columns import PROFILE_NAMES, USER_NAMES, pick_column, require_column
from llmi2i_cli.data.formats import descriptions, open_catalogue
from llmi2i_cli.data.plain_text import name_values, plain
from llmi2i_cli.data.values import ids
from llmi2i_cli.files.places import Place


def profile_chunks(paths: Sequence[Place], user_column: str | None = None) -> Iterator[pl.DataFrame]:
    """Yield user_id and profile (String, never null).

    The profile is the column of that name, or else all other columns as ``name: value; name: value``.

    Parameters
    ----------
    user_column : name of the column of user ids, where a file has it; else the first of the usual names

    Raises
    ------
    InputError : a file is unreadable or has no column of user ids, or an id is missing
    """
    for path in paths:
        table, _ = open_catalogue(path, "--users")
        user = require_column(table, USER_NAMES, user_column if user_column in table.columns else None, "--user-column")
        profile = pick_column(table.columns, PROFILE_NAMES)
        others = [column for column in table.columns if column != user]
        for chunk in descriptions(table, user, [profile] if profile else others):
            if profile:
                profiles = [plain(value) for value in chunk[profile]]
            else:
                rows = chunk.select(others).iter_rows()
                profiles = [name_values(zip(others, row, strict=True)) for row in rows]
            yield pl.DataFrame({"user_id": ids(table, chunk, user, "--user-column"), "profile": profiles})


def with_profiles(users: pl.DataFrame, profiles: pl.DataFrame | None) -> pl.DataFrame:
    """Add the column profile to users, empty where there is none; of several for a user the first counts."""
    if profiles is None:
        return users.with_columns(profile=pl.lit(""))
    first = profiles.unique("user_id", keep="first", maintain_order=True)
    joined = users.join(first, on="user_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("profile").fill_null(""))
