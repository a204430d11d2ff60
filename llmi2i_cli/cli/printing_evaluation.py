"""What `evaluate` found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmi2i_cli.cli.printing import print_table

RANKING_NAMES = {"retrieved_items": "retrieved items per query (RN)"}


def print_evaluation(result: Mapping[str, Any], *, every: bool = False) -> None:
    """Print what `evaluate` found, beside the baseline if there is one: by long tail, and by train count.

    Of the metrics Recall and NDCG at the largest K, or with `every` all of them.
    """
    largest = max(int(name.partition("@")[2]) for name in result["metrics"]["all"])

    def is_shown(name: str) -> bool:
        return every or "@" not in name or (name.endswith(f"@{largest}") and not name.startswith("mrr"))

    baseline = result.get("baseline")
    ours, theirs_name = result["data"], ""
    figure_columns = [ours, "95% interval"]
    if baseline:
        is_same_model = baseline["model"] == result["model"]
        theirs_name = baseline["data"] if is_same_model else f"{baseline['model']}-{baseline['data']}"
        figure_columns = [f"{theirs_name} (baseline)", *figure_columns, "gain", "95% interval of the gain"]
    rows = [row for row in _figure_rows(result, baseline) if is_shown(row[1])]
    for name, value in result["rankings"].items():
        if not is_shown(name):
            continue
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
    by_count = result["by_train_count"]
    rows_by_count = [
        [group, by_count["targets"][group], name, by_count["hits"][group].get(name.replace("recall", "hits")), *cells]
        for group, name, *cells in _figure_rows(by_count, baseline["by_train_count"] if baseline else None)
        if is_shown(name) and not name.startswith("mrr")
    ]
    for group, shares in by_count["shares"].items():
        for name, share in shares.items():
            if not is_shown(name):
                continue
            theirs = [f"{baseline['by_train_count']['shares'][group][name]:.4f}"] if baseline else []
            blank = [""] * (3 if baseline else 1)
            rows_by_count.append([group, by_count["targets"][group], name, "", *theirs, f"{share:.4f}", *blank])
    print_table(
        "The same targets by how often train has the item, and what share of the first K places such items hold",
        ["times in train", "targets", "metric", "hits", *figure_columns],
        rows_by_count,
        numeric=["targets", "hits", *figure_columns],
    )


def _figure_rows(figures: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> Iterator[list[Any]]:
    """For each group of targets and metric: these two, the baseline's figure, ours, its interval, the gain and its."""
    for group, metrics in figures["metrics"].items():
        for name, value in metrics.items():
            row = [group.replace("_", " "), name, _figure(value), _interval(figures["intervals"][group][name], ".4f")]
            if baseline:
                gain = figures["gain"][group][name]
                shown_gain = "" if gain is None else f"{gain:+.1%}"
                shown_interval = _interval(figures["gain_intervals"][group][name], "+.1%")
                row = [*row[:2], _figure(baseline["metrics"][group][name]), *row[2:], shown_gain, shown_interval]
            yield row


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(bounds: Sequence[float] | None, form: str) -> str:
    return "" if bounds is None else f"{bounds[0]:{form}} .. {bounds[1]:{form}}"
