"""Finding the columns that matter in files that name them as they like."""

from __future__ import annotations

from collections.abc import Sequence

from llmi2i_cli.data.table_file import TableFile
from llmi2i_cli.errors import InputError

# Names that public logs use, in the order of preference; compared without case and underscores.
USER_NAMES = ("user_id", "user", "reviewerID", "uid", "visitor_id", "customer_id", "session_id")
ITEM_NAMES = ("item_id", "item", "parent_asin", "asin", "iid", "product_id", "article_id", "movie_id", "video_id")
TIME_NAMES = ("timestamp", "time", "unixReviewTime", "ts", "datetime", "date", "event_time", "time_ms", "t_dat")
TITLE_NAMES = ("title", "item_name", "product_name", "prod_name", "product_title", "movie_title", "name")
RATING_NAMES = ("rating", "overall", "stars", "score")
PROFILE_NAMES = ("profile",)


def pick_column(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of `names` that is among `columns`, compared without case and underscores; None when none is."""
    plain = {column.replace("_", "").lower(): column for column in reversed(columns)}
    return next((plain[key] for name in names if (key := name.replace("_", "").lower()) in plain), None)


def require_column(table: TableFile, names: Sequence[str], asked: str | None, option: str) -> str:
    """The column that the user named with `option`, or the first of the usual `names`.

    Raises
    ------
    InputError : there is none; the message names the columns found and the option
    """
    found = ", ".join(table.columns) or "none"
    if asked is not None:
        if asked not in table.columns:
            raise InputError(f"{table.path} has no column {asked!r} (found: {found}): correct {option}")
        return asked
    column = pick_column(table.columns, names)
    if column is None:
        raise InputError(f"{table.path} has no column {names[0]!r} (found: {found}): name the right one with {option}")
    return column
