"""Results on stdout: as tables for people, as JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from llmi2i_cli.errors import OutputError
from llmi2i_cli.runs.terminal import shown


@contextmanager
def on_stdout() -> Iterator[None]:
    """What the block prints is written at its end. OutputError if it cannot be; BrokenPipeError if nobody reads it."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        give_up_stdout()
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"the results cannot be written to stdout: {error.strerror}") from error


def give_up_stdout() -> None:
    """Let what is still to be written go nowhere, so that Python's own flush at the end does not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


RANKING_NAMES = {"retrieved_items": "retrieved items per query (RN)"}


def print_json(result: Any) -> None:
    """Print one document on one line; in ASCII where stdout cannot have all characters."""
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    with on_stdout():
        sys.stdout.write(json.dumps(result, ensure_ascii=not is_unicode) + "\n")


def print_manifest(manifest: dict[str, Any] | None, as_json: bool) -> None:
    """What a stage did: its manifest as JSON, or the rows that it wrote and what it chose as a table."""
    if as_json:
        print_json(manifest)
        return
    if manifest is None:  # another shard will finish the stage
        return
    from llmi2i_cli.runs.manifests import MANIFEST_KEYS

    rows: list[tuple[str, Any]] = [
        (f"rows of {name}", entry["rows"]) for name, entry in manifest["outputs"].items() if "rows" in entry
    ]
    for key, value in manifest.items():
        if key not in MANIFEST_KEYS:
            parts = value.items() if isinstance(value, dict) else [("", value)]
            rows += [(f"{key} {name}".strip().replace("_", " "), part) for name, part in parts]
    rows.append(("seconds", manifest["seconds"]))
    print_table(manifest["stage"], ("", "value"), rows, numeric=("value",))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, numeric: Sequence[str] = ()
) -> None:
    """Print a table on stdout; columns named in `numeric` are aligned to the right. None shows as an empty cell."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def text(cell: Any) -> Text:
        """Plain text, in which brackets are no markup and control characters are shown."""
        return Text("" if cell is None else shown(_format(cell)))

    table = Table(title=text(title), title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(text(column), justify="right" if column in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(text, row))
    console = Console()
    if not console.is_terminal:  # a pipe or a file gets whole lines, not 80 columns
        console = Console(width=200)
    with on_stdout():
        console.print(table)


def print_evaluation(result: Mapping[str, Any]) -> None:
    """Print what `evaluate` found, beside the baseline if there is one: by long tail, and by train count."""
    baseline = result.get("baseline")
    ours, theirs_name = result["data"], ""
    figure_columns = [ours, "95% interval"]
    if baseline:
        is_same_model = baseline["model"] == result["model"]
        theirs_name = baseline["data"] if is_same_model else f"{baseline['model']}-{baseline['data']}"
        figure_columns = [f"{theirs_name} (baseline)", *figure_columns, "gain", "95% interval of the gain"]
    rows = list(_figure_rows(result, baseline))
    for name, value in result["rankings"].items():
        theirs = [f"{baseline['rankings'][name]:.4g}"] if baseline else []
        rows.append(
            ["rankings", RANKING_NAMES.get(name, name), *theirs, f"{value:.4g}", "", *([""] * 2 if baseline else [])]
        )
    for name in ("p50_ms", "p99_ms"):
        names = [theirs_name, ours] if baseline else [ours]
        if all(result["latency"].get(each) for each in names):
            shown = [f"{result['latency'][each][name]:.3g}" for each in names]
            rows.append(["latency of a query", name.replace("_", " "), *shown, "", *([""] * 2 if baseline else [])])
    protocol = result["protocol"]
    seen = "seen items left out" if protocol["exclude_seen"] else "seen items kept"
    decay = f", decay {protocol['decay']:g}" if protocol.get("decay", 1) != 1 else ""
    print_table(
        f"{result['model']}, {result['data']} log, {result['split']} split: {result['users']:,} users, "
        f"{protocol['recent']} recent items{decay}, {seen}; "
        f"{result['targets']['already_in_query']:,} targets are in the user's query, "
        f"{result['targets']['unknown']:,} are of no item in the catalogue",
        ["targets", "metric", *figure_columns],
        rows,
        numeric=figure_columns,
    )
    told = result["by_train_count"]
    by_count = [
        [group, told["targets"][group], name, told["hits"][group].get(name.replace("recall", "hits")), *cells]
        for group, name, *cells in _figure_rows(told, baseline["by_train_count"] if baseline else None)
        if not name.startswith("mrr")
    ]
    for group, shares in told["shares"].items():
        for name, share in shares.items():
            theirs = [f"{baseline['by_train_count']['shares'][group][name]:.4f}"] if baseline else []
            blank = [""] * (3 if baseline else 1)
            by_count.append([group, told["targets"][group], name, "", *theirs, f"{share:.4f}", *blank])
    print_table(
        "The same targets by how often train has the item, and what share of the first K places such items hold",
        ["times in train", "targets", "metric", "hits", *figure_columns],
        by_count,
        numeric=["targets", "hits", *figure_columns],
    )


def _figure_rows(told: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> Iterator[list[Any]]:
    """For each group of targets and metric: these two, the baseline's figure, ours, its interval, the gain and its."""
    for group, metrics in told["metrics"].items():
        for name, value in metrics.items():
            row = [group.replace("_", " "), name, _figure(value), _interval(told["intervals"][group][name], ".4f")]
            if baseline:
                gain = told["gain"][group][name]
                shown_gain = "" if gain is None else f"{gain:+.1%}"
                shown_interval = _interval(told["gain_intervals"][group][name], "+.1%")
                row = [*row[:2], _figure(baseline["metrics"][group][name]), *row[2:], shown_gain, shown_interval]
            yield row


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(bounds: Sequence[float] | None, form: str) -> str:
    return "" if bounds is None else f"{bounds[0]:{form}} .. {bounds[1]:{form}}"


def _format(cell: Any) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):  # --json has all digits
        return f"{cell:,.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    if isinstance(cell, Mapping):
        return ", ".join(f"{name} {_format(value)}" for name, value in cell.items())
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
