"""A shop's rules hold in every form of the index, in Redis, and in what is recommended."""

from __future__ import annotations

import json
import shutil
from typing import Any

import polars as pl
import pytest
import redis

from llmi2i_cli.i2i.served_index import ServedIndex
from tests.redis_server import redis_server
from tests.stages.shop import N_ITEMS, answer, prepare_shop, run


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A work directory with two tables; items of an even number are of the brand even. Not to be written to."""
    folder = tmp_path_factory.mktemp("rules")
    workdir = prepare_shop(folder)
    kinds = [("even", "odd")[n % 2] for n in range(N_ITEMS)]
    brands = "".join(f"i{n},{kind} thing,{kind if n else ''}\n" for n, kind in enumerate(kinds))
    (folder / "items.csv").write_text("item_id,title,brand\n" + brands)
    assert run("prepare", folder / "log.txt", "--items", folder / "items.csv", "-w", workdir) == 0
    assert run("train-i2i", "--top-k", 30, "-w", workdir) == 0
    assert run("train-i2i", "--model", "text", "--top-k", 30, "-w", workdir) == 0
    (folder / "sold-out.txt").write_text("i1\ni2\nx9\n")
    (folder / "stock.csv").write_text("item_id\n" + "".join(f"i{n}\n" for n in range(20)))
    return folder


@pytest.fixture
def work(prepared, tmp_path):
    shutil.copytree(prepared / "work", tmp_path / "work")
    return tmp_path / "work"


def rows_of(path):
    """Rows of an exported table: item -> its neighbours and scores, best first."""
    table = pl.read_parquet(path).sort("item_id", "rank")
    rows: dict[str, list[tuple[str, float]]] = {}
    for item, neighbour, rank, score in table.iter_rows():
        rows.setdefault(item, []).append((neighbour, score))
        assert rank == len(rows[item])
    return rows


def number(item):
    return int(item[1:])


RULES = {
    "--deny": ("sold-out.txt", lambda item, other: other not in ("i1", "i2")),
    "--allow": ("stock.csv", lambda item, other: number(other) < 20),
    "--same": ("brand", lambda item, other: item != "i0" != other and number(item) % 2 == number(other) % 2),
    "--different": ("brand", lambda item, other: item != "i0" != other and number(item) % 2 != number(other) % 2),
}


@pytest.mark.parametrize("option", RULES)
def test_a_rule_leaves_the_first_that_it_permits(prepared, work, capsys, option):
    value, may = RULES[option]
    value = prepared / value if "." in value else value
    assert run("export-index", "--top-k", 4, option, value, "-w", work) == 0
    trained = rows_of(work / "i2i/swing-real.parquet")
    permitted = {item: [pair for pair in row if may(item, pair[0])][:4] for item, row in trained.items()}
    assert rows_of(work / "index/swing-real.parquet") == {item: row for item, row in permitted.items() if row}
    assert any(len(row) == 4 and row != trained[item][:4] for item, row in permitted.items())
    told = capsys.readouterr().err
    n_short = sum(len(row) < min(4, len(trained[item])) for item, row in permitted.items())
    assert (f"{n_short} of 40 rows hold fewer neighbours under the rules than without" in told) == (n_short > 0)
    assert ("1 of 3 items are not in the index" in told) == (option == "--deny")
    assert ("1 of 40 items have no brand" in told) == (value == "brand")


def test_every_form_and_redis_follow(prepared, work, tmp_path, capsys):
    rules = ("--same", "brand", "--deny", prepared / "sold-out.txt", "--top-k", 3, "--fill", "text")
    formats = ("--format", "parquet", "--format", "jsonl", "--format", "mmap")
    with redis_server(tmp_path) as url:
        assert run("export-index", *rules, *formats, "--to", url, "-w", work) == 0
        rows = rows_of(work / "index/swing-real.parquet")
        client: Any = redis.Redis.from_url(url, decode_responses=True)
        version = client.get("llmi2i:swing-real:current")
        index = ServedIndex.open(work / "index/swing-real.mmap")
        for line in map(json.loads, (work / "index/swing-real.jsonl").read_text().splitlines()):
            row = rows.get(line["item_id"], [])
            assert line["neighbour_ids"] == [other for other, _ in row]
            assert index.neighbours_of(line["item_id"]) == row
            assert set(client.zrange(f"llmi2i:swing-real:{version}:{line['item_id']}", 0, -1)) == {i for i, _ in row}
        (prepared / "sold-out.txt").touch()
        assert run("export-index", *rules, "--to", url, "-w", work) == 0
        assert client.get("llmi2i:swing-real:current") == version
        assert run("export-index", *rules[:2], "--to", url, "-w", work) == 0
        assert client.get("llmi2i:swing-real:current") != version
    assert all(number(item) % 2 == number(other) % 2 for item, row in rows.items() for other, _ in row)
    assert {len(rows[item]) for item in rows} == {3}  # the texts fill what Swing leaves open
    assert len(rows) == N_ITEMS - 1
    assert all(row[0][1] >= row[1][1] >= row[2][1] for row in rows.values())


def test_what_is_recommended_keeps_the_rules(prepared, work, capsys):
    trained = rows_of(work / "i2i/swing-real.parquet")
    item = next(item for item, row in trained.items() if {"i1", "i2"} & {other for other, _ in row[:3]})
    rule = ("--deny", prepared / "sold-out.txt")
    found = answer(capsys, "recommend", "--item", item, "--top-n", 5, *rule, "-w", work)
    assert [row["item_id"] for row in found] == [other for other, _ in trained[item] if other not in ("i1", "i2")][:5]
    found = answer(capsys, "recommend", item, "--top-n", 40, *rule, "-w", work)
    assert {row["item_id"] for row in found} == {other for other, _ in trained[item]} - {"i1", "i2"}


def test_a_list_that_changed_makes_the_index_stale(prepared, work, tmp_path, capsys):
    shutil.copy(prepared / "sold-out.txt", tmp_path / "sold-out.txt")
    command = ("export-index", "--deny", tmp_path / "sold-out.txt", "-w", work)
    assert run(*command) == 0
    before = rows_of(work / "index/swing-real.parquet")
    assert run(*command) == 0
    assert "up to date" in capsys.readouterr().err
    (tmp_path / "sold-out.txt").write_text("i3\n")
    assert run(*command) == 0
    after = rows_of(work / "index/swing-real.parquet")
    assert before != after
    assert "i3" not in {other for row in after.values() for other, _ in row}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--allow", "none.txt"), "none.txt: no such file"),
        (("--allow", "other.txt"), "none of its items is in the index: --allow would leave every row empty"),
        (("--deny", "all.txt"), "--deny leaves no item that may be a neighbour"),
        (("--same", "colour"), "no column 'colour' (found: item_id, title, brand): correct --same"),
        (("--fill", "bm25"), "run `llmi2i train-i2i --model bm25 --data real"),
    ],
)
def test_rules_that_cannot_be(work, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.txt").write_text("x1\n")
    (tmp_path / "all.txt").write_text("".join(f"i{n}\n" for n in range(N_ITEMS)))
    for command in (("export-index",), ("recommend", "i3")):
        capsys.readouterr()
        assert run(*command, *options, "-w", work) == 1
        output = capsys.readouterr()
        assert message in output.err.splitlines()[-1]
        assert output.out == ""
    assert not (work / "index").exists()


def test_a_refit_keeps_the_rules(prepared, work, tmp_path):
    rules = ("--same", "brand", "--deny", prepared / "sold-out.txt", "--fill", "text", "--top-k", 3)
    assert run("export-index", *rules, "--format", "elasticsearch", "-w", work) == 0
    assert run("refit", "-w", work, "--to", tmp_path / "serve") == 0
    lines = (tmp_path / "serve/index/swing-real.elasticsearch").read_text().splitlines()
    rows = {row["item_id"]: row["neighbour_ids"] for row in map(json.loads, lines[1::2])}
    assert {len(row) for item, row in rows.items() if item != "i0"} == {3}
    assert not {other for row in rows.values() for other in row} & {"i0", "i1", "i2"}
    assert all(number(item) % 2 == number(other) % 2 for item, row in rows.items() for other in row)
