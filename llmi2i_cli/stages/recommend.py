"""`llmi2i recommend`: recent items to ranked items, with titles, as the online service would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.choices.models import TableName, has_variant
from llmi2i_cli.choices.rules import NO_RULES, RuleOptions
from llmi2i_cli.errors import InputError, UsageError
from llmi2i_cli.files.documents import parse_json
from llmi2i_cli.publishing.rule_files import filling_paths
from llmi2i_cli.runs.manifests import verify
from llmi2i_cli.runs.progress import notice

if TYPE_CHECKING:
    from llmi2i_cli.artifacts.histories import Histories
    from llmi2i_cli.artifacts.prepared import Catalogue
    from llmi2i_cli.evaluation.retrieve import Rankings
    from llmi2i_cli.i2i.neighbours import Neighbours


@dataclass(frozen=True)
class Query:
    """Whom or what is asked for, and the item ids that it is known by, oldest first."""

    name: str
    item_ids: Sequence[str]


def recommend(
    workdir: Path,
    items: Sequence[str] = (),
    *,
    file: Path | None = None,
    model: str = "swing",
    data: str = "real",
    top_n: int = 10,
    recent: int | None = None,
    decay: float | None = None,
    exclude_seen: bool = True,
    rules: RuleOptions = NO_RULES,
) -> list[dict[str, Any]]:
    """Rank items for histories: sum the neighbours of the recent items, leave out what is in the history.

    Parameters
    ----------
    items : one history, oldest first
    file : instead, one query a line: a user id of the prepared log, a JSON list of items, or a JSON object with
        ``items`` and, if wanted, ``user_id``
    recent : M, how many recent items are looked up; None takes what was chosen for this very index (by `evaluate`, or
        where it was refitted from), else 100
    decay : the a-th most recent item (from 0) counts `decay` ** a; None takes what was chosen, else 1
    rules : what may be whose neighbour, as in `export-index`

    Returns
    -------
    a list with, for each query, ``{"user_id": ..., "items": [{"item_id", "title", "score"}, ...]}``, best first

    Raises
    ------
    UsageError : both or neither of `items` and `file`
    InputError : an unknown user or item, or a line that is neither; items of a file that are unknown are only counted
    ArtifactError : the index or the log is missing or damaged
    """
    if bool(items) == (file is not None):
        raise UsageError("give either items or --file")
    from llmi2i_cli.artifacts.prepared import read_catalogue
    from llmi2i_cli.evaluation.lookups import chosen_lookup
    from llmi2i_cli.evaluation.retrieve import retrieve
    from llmi2i_cli.evaluation.validation import LOOKUP_WITHOUT_VALIDATION
    from llmi2i_cli.publishing.ruled_neighbours import ruled_neighbours

    verify(workdir, "prepare/items.parquet", f"i2i/{model}-{data}.parquet", *filling_paths(rules, data))
    catalogue = read_catalogue(workdir)
    neighbours = ruled_neighbours(workdir, model, data, catalogue.ids, top_k=None, options=rules)
    queries = [Query("", list(items))] if file is None else list(_read_queries(workdir, file))
    histories = _histories(queries, catalogue, strict=file is None)
    exclude = histories if exclude_seen else None
    if recent is None or decay is None:
        chosen = chosen_lookup(workdir, model, data) or LOOKUP_WITHOUT_VALIDATION
        recent = chosen.recent if recent is None else recent
        decay = chosen.decay if decay is None else decay
    found = retrieve(neighbours, histories, recent=recent, top_n=top_n, exclude=exclude, decay=decay)
    return [_described(query, row, found, catalogue) for row, query in enumerate(queries)]


def neighbours_of(
    workdir: Path,
    item: str,
    *,
    model: str = "swing",
    data: str = "real",
    top_n: int = 10,
    rules: RuleOptions = NO_RULES,
) -> list[dict[str, Any]]:
    """An item's neighbours, best first, as ``{"item_id", "title", "score"}``. InputError if the item is unknown."""
    from llmi2i_cli.artifacts.indices import unknown_item
    from llmi2i_cli.artifacts.prepared import read_catalogue
    from llmi2i_cli.publishing.ruled_neighbours import ruled_neighbours

    verify(workdir, "prepare/items.parquet", f"i2i/{model}-{data}.parquet", *filling_paths(rules, data))
    catalogue = read_catalogue(workdir)
    row = _rows_by_id(catalogue).get(item)
    if row is None:
        raise unknown_item(item)
    neighbours: Neighbours = ruled_neighbours(workdir, model, data, catalogue.ids, top_k=top_n, options=rules)
    return _items(neighbours.ids[row].tolist(), neighbours.scores[row].tolist(), catalogue)


def compared_neighbours_of(workdir: Path, item: str, *, model: str = "swing", top_n: int = 10) -> dict[str, Any]:
    """An item's neighbours on the real log beside those on the fused one, and where each comes from.

    See `i2i.origins.compare_neighbours` for what it holds and raises; UsageError if the model does not read the log.
    """
    if not has_variant(model, "fused"):
        raise UsageError(f"{model} does not read the log: there is nothing to compare")
    from llmi2i_cli.i2i.origins import compare_neighbours

    before, after = TableName(model, "real"), TableName(model, "fused")
    verify(workdir, "prepare/items.parquet", before.path, after.path)
    return compare_neighbours(workdir, [item], before=before, after=after, top_n=top_n)[0]


def write_answers(answers: Sequence[dict[str, Any]], path: Path) -> int:
    """Write answers as Parquet, CSV or JSON lines, by the name's ending.

    The columns are query (its number, from 1), user_id, rank (from 1), item_id, title and score. A query without an
    answer has no row.

    Returns the number of rows. UsageError for another ending, InputError if the file cannot be written.
    """
    import polars as pl

    writers: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
        ".parquet": pl.DataFrame.write_parquet,
        ".csv": pl.DataFrame.write_csv,
        ".jsonl": pl.DataFrame.write_ndjson,
    }
    if path.suffix not in writers:
        raise UsageError(f"--out {path}: end the name with {', '.join(writers)}")
    rows = [
        (query, answer["user_id"], rank, item["item_id"], item["title"], item["score"])
        for query, answer in enumerate(answers, start=1)
        for rank, item in enumerate(answer["items"], start=1)
    ]
    schema = {
        "query": pl.Int64,
        "user_id": pl.String,
        "rank": pl.Int32,
        "item_id": pl.String,
        "title": pl.String,
        "score": pl.Float32,
    }
    from llmi2i_cli.files.tables import writing

    try:
        with writing(path) as temporary:
            writers[path.suffix](pl.DataFrame(rows, schema=schema, orient="row"), temporary)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error
    return len(rows)


def _read_queries(workdir: Path, file: Path) -> Iterator[Query]:
    from llmi2i_cli.artifacts.schemas import read_artifact

    try:
        lines = file.read_text(encoding="utf-8").split("\n")  # ids may hold what else Unicode breaks lines at
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as text: {error}") from error
    if not any(line.strip() for line in lines):
        raise InputError(f"{file} holds no query: put a user id or a JSON list of items on each line")
    by_user: dict[str, list[str]] | None = None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        if text[0] in "{[" and (value := _json(text)) is not None:  # an id may begin so, too
            yield _query_of_json(value, f"{file}, line {number}")
            continue
        if by_user is None:
            verify(workdir, "prepare/interactions.parquet")
            log = read_artifact(workdir, "prepare/interactions.parquet")
            rows = log.group_by("user_id", maintain_order=True).agg("item_id").iter_rows()
            by_user = dict(rows)
        if text not in by_user:
            raise InputError(f"{file}, line {number}: {text!r} is neither a user of the prepared log nor JSON")
        yield Query(text, by_user[text])


def _json(text: str) -> Any:
    """The value of a JSON text, None for another text."""
    try:
        return parse_json(text)
    except ValueError:
        return None


def _query_of_json(value: Any, where: str) -> Query:
    name, items = ("", value) if isinstance(value, list) else (value.get("user_id", ""), value.get("items"))
    if not isinstance(items, list) or not all(isinstance(item, str | int) for item in items):
        raise InputError(f'{where}: write a list of item ids, or {{"user_id": ..., "items": [...]}}')
    return Query(str(name), [str(item) for item in items])


def _histories(queries: Sequence[Query], catalogue: Catalogue, *, strict: bool) -> Histories:
    from llmi2i_cli.artifacts.histories import Histories
    from llmi2i_cli.artifacts.indices import unknown_item

    rows_by_id = _rows_by_id(catalogue)
    unknown = [item for query in queries for item in query.item_ids if item not in rows_by_id]
    if unknown and strict:
        raise unknown_item(unknown[0])
    if unknown:
        notice(f"Warning: {len(unknown):,} items are not in the catalogue and were left out, {unknown[0]!r} the first")
    rows = [[rows_by_id[item] for item in query.item_ids if item in rows_by_id] for query in queries]
    return Histories.from_rows(rows, catalogue.n_items)


def _rows_by_id(catalogue: Catalogue) -> dict[str, int]:
    return {item_id: row for row, item_id in enumerate(catalogue.ids)}


def _described(query: Query, row: int, found: Rankings, catalogue: Catalogue) -> dict[str, Any]:
    return {"user_id": query.name, "items": _items(found.ids[row].tolist(), found.scores[row].tolist(), catalogue)}


def _items(ids: Sequence[int], scores: Sequence[float], catalogue: Catalogue) -> list[dict[str, Any]]:
    return [
        {"item_id": catalogue.ids[item], "title": catalogue.titles[item], "score": score}
        for item, score in zip(ids, scores, strict=True)
        if item >= 0
    ]
