from __future__ import annotations

import json
import math

import polars as pl
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import read_catalogue, read_histories, read_user_ids
from llmi2i_cli.evaluation.retrieve import retrieve
from llmi2i_cli.i2i.neighbour_table import read_neighbours
from tests.stages.shop import answer, prepare_shop, run, write_fused


@pytest.fixture
def workdir(tmp_path):
    workdir = prepare_shop(tmp_path)
    assert run("train-i2i", "-w", workdir) == 0
    return workdir


def expected_items(workdir, histories, row, **options):
    catalogue = read_catalogue(workdir)
    neighbours = read_neighbours(workdir, "swing", "real", catalogue.ids)
    found = retrieve(neighbours, histories, **{"recent": 100, "top_n": 10, "exclude": histories, **options})
    return [
        {"item_id": catalogue.ids[item], "title": f"Title {catalogue.ids[item][1:]}", "score": score}
        for item, score in zip(found.ids[row].tolist(), found.scores[row].tolist(), strict=True)
        if item >= 0
    ]


def test_recent_items_to_ranked_items_with_titles(workdir, capsys):
    ids = read_catalogue(workdir).ids.to_list()
    query = Histories.from_rows([[ids.index("i3"), ids.index("i4")]], len(ids))
    found = answer(capsys, "recommend", "i3", "i4", "--top-n", 4, "-w", workdir)
    assert found == expected_items(workdir, query, 0, top_n=4)
    assert len(found) == 4
    latest = answer(capsys, "recommend", "i3", "i4", "--recent", 1, "--keep-seen", "-w", workdir)
    assert latest == expected_items(workdir, query, 0, recent=1, exclude=None)


def test_a_file_of_users_and_histories(workdir, capsys, tmp_path):
    lines = ["u7", "", '["i1", "i2", "gone"]', '{"user_id": 5, "items": ["i3"]}', '{"items": []}']
    (tmp_path / "queries.txt").write_text("\n".join(lines))
    capsys.readouterr()
    assert run("recommend", "--file", tmp_path / "queries.txt", "-w", workdir, "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [query["user_id"] for query in found] == ["u7", "", "5", ""]
    whole = read_histories(workdir, ("train", "valid", "test"))
    assert found[0]["items"] == expected_items(workdir, whole, read_user_ids(workdir).to_list().index("u7"))
    assert found[1]["items"] == answer(capsys, "recommend", "i1", "i2", "-w", workdir)
    assert found[2]["items"] == answer(capsys, "recommend", "i3", "-w", workdir)
    assert found[3]["items"] == []
    assert err == "Warning: 1 items are not in the catalogue and were left out, 'gone' the first\n"


@pytest.mark.parametrize(
    "ending, read", [("parquet", pl.read_parquet), ("csv", pl.read_csv), ("jsonl", pl.read_ndjson)]
)
def test_ranked_items_can_be_written(workdir, capsys, tmp_path, ending, read):
    (tmp_path / "queries.txt").write_text('["i1"]\n["i2"]\n["gone"]\nu7\n{"user_id": "x", "items": ["i3"]}\n')
    arguments = ["recommend", "--file", tmp_path / "queries.txt", "-w", workdir]
    expected = [
        (number, query["user_id"] or None, rank, item["item_id"], item["title"], item["score"])
        for number, query in enumerate(answer(capsys, *arguments), start=1)
        for rank, item in enumerate(query["items"], start=1)
    ]
    path = tmp_path / f"ranked.{ending}"
    assert run(*arguments, "--out", path) == 0
    found = read(path)
    assert found.columns == ["query", "user_id", "rank", "item_id", "title", "score"]
    assert [(row[0], row[1] or None, *row[2:5]) for row in found.rows()] == [row[:5] for row in expected]
    assert set(found["query"]) == {1, 2, 4, 5}  # nobody knows what the third asks about
    assert found["score"].to_list() == pytest.approx([row[5] for row in expected], rel=1e-6)
    assert "'gone' the first" in capsys.readouterr().err


def test_neighbours_of_an_item(workdir, capsys):
    catalogue = read_catalogue(workdir)
    neighbours = read_neighbours(workdir, "swing", "real", catalogue.ids)
    row = catalogue.ids.to_list().index("i12")
    found = answer(capsys, "recommend", "--item", "i12", "--top-n", 3, "-w", workdir)
    assert [(item["item_id"], item["score"]) for item in found] == [
        (catalogue.ids[int(item)], float(score))
        for item, score in zip(neighbours.ids[row, :3], neighbours.scores[row, :3], strict=True)
    ]
    assert run("recommend", "--item", "i12", "-w", workdir) == 0
    assert f"Title {found[0]['item_id'][1:]}" in capsys.readouterr().out


def test_neighbours_before_and_after_side_by_side(workdir, capsys):
    write_fused(workdir)
    assert run("train-i2i", "--data", "fused", "-w", workdir) == 0
    found = answer(capsys, "recommend", "--item", "i12", "--compare", "--top-n", 4, "-w", workdir)
    for data, name in (("real", "before"), ("fused", "after")):
        plain = answer(capsys, "recommend", "--item", "i12", "--data", data, "--top-n", 4, "-w", workdir)
        assert [{key: each[key] for key in ("item_id", "title", "score")} for each in found[name]] == plain
    assert run("recommend", "--item", "i12", "--compare", "--top-n", 4, "-w", workdir) == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    real, fused = found["before"][0], found["after"][0]
    row = next(row for row in cells if row[:1] == ["1"])
    assert row[1] == f"{real['title']} ({real['item_id']})"
    assert row[2:4] == ["counts 100%", str(real["users"])]
    assert row[4] == f"{fused['title']} ({fused['item_id']})"
    assert row[6:] == [str(fused["users"]), f"{fused['generated']:.3g}", str(fused["rank_in_other"] or "new")]


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        ([], 2, "give either items or --file"),
        (["i1", "--item", "i2"], 2, "--item stands alone: leave out the other items, --file and --out"),
        (["i1", "--out", "ranked.xlsx"], 2, "--out ranked.xlsx: end the name with .parquet, .csv, .jsonl"),
        (["i1", "--out", "FILE/absent/ranked.csv"], 1, "ranked.csv cannot be written"),
        (["i1", "nothing"], 1, "item 'nothing' is not in the catalogue: ids are those of prepare/items.parquet"),
        (["--item", "nothing"], 1, "item 'nothing' is not in the catalogue"),
        (["--item", "i1", "--recent", "3"], 2, "--item shows a row of the table as it is: leave out --recent and the"),
        (["--item", "i1", "--keep-seen"], 2, "--item shows a row of the table as it is: leave out --recent and the"),
        (["i1", "--out", "ranked.csv", "--json"], 2, "--out and --json both say where the answers go"),
        (["i1", "--catalogue", "FILE"], 2, "--catalogue has the columns of --same and --different: add one of them"),
        (["i1", "--compare"], 2, "--compare is for one item: add --item ITEM"),
        (
            ["--item", "i1", "--compare", "--model", "text"],
            2,
            "text does not read the log: there is nothing to compare",
        ),
        (["--item", "i1", "--compare", "--same", "title"], 2, "--compare shows the tables as they were trained"),
        (["--item", "i1", "--compare"], 1, "run `llmi2i train-i2i --model swing --data fused -w"),
        (["--model", "bpr", "i1"], 1, "run `llmi2i train-i2i --model bpr --data real -w"),
        (["--file", "FILE/absent"], 1, "absent: no such file"),
        (["--file", "FILE/user"], 1, "user, line 2: 'nobody' is neither a user of the prepared log nor JSON"),
        (["--file", "FILE/json"], 1, "json, line 1: '[\"i1\"' is neither a user of the prepared log nor JSON"),
        (["--file", "FILE/shape"], 1, 'shape, line 1: write a list of item ids, or {"user_id": ..., "items": [...]}'),
        (["--file", "FILE/blank"], 1, "blank holds no query: put a user id or a JSON list of items on each line"),
        (["--file", "FILE/binary"], 1, "binary cannot be read as text"),
    ],
)
def test_mistakes_get_one_line(workdir, capsys, tmp_path, arguments, status, message):
    (tmp_path / "user").write_text("u1\nnobody\n")
    (tmp_path / "json").write_text('["i1"')
    (tmp_path / "shape").write_text('{"items": "i1"}')
    (tmp_path / "blank").write_text("\n \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    capsys.readouterr()
    assert run("recommend", *(str(a).replace("FILE", str(tmp_path)) for a in arguments), "-w", workdir) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("Error: ")
    assert error.count("\n") == 1


def test_ids_and_titles_give_no_commands_to_the_terminal(tmp_path, capsys):
    """Nor are they markup, or JSON, if that is what they look like."""
    (tmp_path / "log.txt").write_text("".join(f"[/u{user}] \x1b[31mi1 i2 [i3] {{i4}} i5\n" for user in range(3)))
    (tmp_path / "users").write_text("[/u1]\n")
    assert run("prepare", tmp_path / "log.txt", "-w", tmp_path / "work") == 0
    assert run("train-i2i", "-w", tmp_path / "work") == 0
    capsys.readouterr()
    assert run("recommend", "--file", tmp_path / "users", "--keep-seen", "-w", tmp_path / "work") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("[/u1]")
    assert "\\x1b[31mi1" in shown
    assert "[i3]" in shown
    assert run("recommend", "\x1b[31mi9", "-w", tmp_path / "work") == 1
    assert "\x1b" not in shown + capsys.readouterr().err


def test_what_is_served_is_what_was_measured(workdir, capsys):
    """`auto` is the M and the decay that evaluate has chosen, and 100 and 1 before anything was evaluated."""
    by_default = answer(capsys, "recommend", "i3", "i4", "i1", "-w", workdir)
    assert by_default == answer(capsys, "recommend", "i3", "i4", "i1", "--recent", 100, "-w", workdir)
    assert run("evaluate", "--recent", 2, "--decay", 0.5, "-w", workdir) == 0
    capsys.readouterr()
    measured = answer(capsys, "recommend", "i3", "i4", "i1", "-w", workdir)
    assert measured != by_default
    ids = read_catalogue(workdir).ids.to_list()
    query = Histories.from_rows([[ids.index(item) for item in ("i3", "i4", "i1")]], len(ids))
    assert measured == expected_items(workdir, query, 0, recent=2, decay=0.5)
    for given, expected in (("--recent", {"recent": 1, "decay": 0.5}), ("--decay", {"recent": 2, "decay": 1.0})):
        found = answer(capsys, "recommend", "i3", "i4", "i1", given, 1, "-w", workdir)
        assert found == expected_items(workdir, query, 0, **expected)


def test_the_real_log_as_a_baseline_counts_as_measured(workdir, capsys):
    write_fused(workdir)
    assert run("train-i2i", "--data", "fused", "-w", workdir) == 0
    arguments = ["evaluate", "--data", "fused", "--baseline", "real", "--recent", 2, "--decay", 0.5, "-w", workdir]
    assert run(*arguments) == 0
    capsys.readouterr()
    query = ["recommend", "i3", "i4", "i1"]
    by_option = answer(capsys, *query, "--recent", 2, "--decay", 0.5, "-w", workdir)
    assert answer(capsys, *query, "-w", workdir) == by_option


def test_an_index_that_was_trained_again_is_not_served_with_what_was_measured_before(workdir, capsys):
    by_default = answer(capsys, "recommend", "i3", "i4", "i1", "-w", workdir)
    assert run("evaluate", "--recent", 2, "--decay", 0.5, "-w", workdir) == 0
    assert run("train-i2i", "--smoothing", 7, "-w", workdir) == 0
    capsys.readouterr()
    assert run("recommend", "i3", "i4", "i1", "--json", "-w", workdir) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == len(by_default)
    assert printed.err == (
        "Warning: i2i/swing-real.parquet was trained again since it was evaluated, so M is 100: "
        f"run `llmi2i evaluate --model swing --data real -w {workdir}` first\n"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"recent": -5},
        {"recent": 0},
        {"recent": "2"},
        {"recent": True},
        {"recent": 2.5},
        {"decay": math.nan},
        {"decay": 0},
        {"decay": 1.5},
        {"decay": None},
        "protocol",
        "protocols",
        "no JSON",
        "deep",
    ],
    ids=str,
)
def test_a_measurement_that_makes_no_sense_is_not_served_with(workdir, capsys, change):
    assert run("evaluate", "--recent", 2, "--decay", 0.5, "-w", workdir) == 0
    path = workdir / "evaluate/swing-real-test.manifest.json"
    manifest = json.loads(path.read_text())
    if change == "protocol":
        manifest["protocols"]["real"] = [1]
    elif change == "protocols":
        manifest["protocols"] = 7
    elif isinstance(change, dict):
        manifest["protocols"]["real"] |= change
    deep = "[" * 100_000
    path.write_text({"no JSON": "{", "deep": deep}.get(str(change), json.dumps(manifest)))
    capsys.readouterr()
    assert run("recommend", "i3", "-w", workdir) == 1
    assert capsys.readouterr() == (
        "",
        f"Error: {path} is damaged: run `llmi2i evaluate --model swing --data real --split test -w {workdir} --force`, "
        "or give --recent and --decay\n",
    )
    assert run("recommend", "i3", "--recent", 1, "--decay", 1, "-w", workdir) == 0
