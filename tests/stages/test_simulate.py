import json

import polars as pl
import pytest

from llmi2i_cli.__main__ import main
from llmi2i_cli.data import simulated_log
from llmi2i_cli.files.tables import write_table

SIZES = ("--users", "50", "--items", "40", "--interactions", "600")


def run(*arguments):
    return main(["simulate", *map(str, arguments)])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_log_and_its_catalogue(tmp_path, capsys):
    assert run(tmp_path / "shop", *SIZES, "--json") == 0
    result = {"users": 50, "items": 40, "interactions": 600, "up_to_date": False}
    assert json.loads(capsys.readouterr().out) == result
    assert {path.name for path in (tmp_path / "shop").iterdir()} == {"interactions.parquet", "items.parquet"}
    log = pl.read_parquet(tmp_path / "shop" / "interactions.parquet")
    items = pl.read_parquet(tmp_path / "shop" / "items.parquet")
    assert log.schema == pl.Schema({"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64})
    assert items.schema == pl.Schema(dict.fromkeys(["item_id", "title", "category", "brand", "description"], pl.String))
    assert (len(log), log["user_id"].n_unique(), len(items)) == (600, 50, 40)
    assert set(log["item_id"]) <= set(items["item_id"])


def test_bytes_depend_on_the_arguments_alone(tmp_path, monkeypatch):
    for name, options in (("a", ()), ("b", ()), ("seed", ("--seed", 1)), ("noise", ("--noise", 0.5))):
        assert run(tmp_path / name, *SIZES, *options) == 0
    a, b, seed, noise = (contents(tmp_path / name) for name in ("a", "b", "seed", "noise"))
    assert a == b
    assert a["interactions.parquet"] not in (seed["interactions.parquet"], noise["interactions.parquet"])
    assert a["items.parquet"] != seed["items.parquet"]


def test_a_second_run_does_nothing_and_other_sizes_replace(tmp_path, capsys):
    assert run(tmp_path / "shop", *SIZES) == 0
    time = (tmp_path / "shop" / "items.parquet").stat().st_mtime_ns
    assert run(tmp_path / "shop", *SIZES, "--json") == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["up_to_date"] is True
    assert output.err == "simulate: up to date\n"
    assert (tmp_path / "shop" / "items.parquet").stat().st_mtime_ns == time
    assert run(tmp_path / "shop", *SIZES[:-1], "700") == 0
    assert len(pl.read_parquet(tmp_path / "shop" / "interactions.parquet")) == 700


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_killed_run_goes_on_with_its_block(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(simulated_log, "BLOCK_INTERACTIONS", 100)
    assert run(tmp_path / "whole", *SIZES) == 0
    written = []

    def step(frame, path):
        if path.name.startswith("interactions"):
            written.append(path.name)
            if len(written) == stop:
                raise KeyboardInterrupt
        write_table(frame, path)

    monkeypatch.setattr("llmi2i_cli.stages.simulate.write_table", step)
    assert run(tmp_path / "shop", *SIZES) == 130
    assert not (tmp_path / "shop" / "interactions.parquet").exists()
    assert run(tmp_path / "shop", *SIZES) == 0
    assert set(written[: stop - 1]).isdisjoint(written[stop:])
    assert contents(tmp_path / "shop") == contents(tmp_path / "whole")


@pytest.mark.parametrize("name", ["notes.txt", "interactions.parquet"])
def test_a_folder_that_holds_other_things_is_left_alone(tmp_path, capsys, name):
    pl.DataFrame({"mine": [1]}).write_parquet(tmp_path / name)
    before = contents(tmp_path)
    assert run(tmp_path, *SIZES) == 1
    assert capsys.readouterr().err == (
        f"Error: {tmp_path} holds {name}, which is not from `llmi2i simulate`: name another directory\n"
    )
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--interactions", "49"), 2, "--interactions 49 is less than --users 50"),
        (("--items", "9"), 2, "items"),
        (("--noise", "1.1"), 2, "noise"),
    ],
)
def test_sizes_that_make_no_sense(tmp_path, capsys, options, status, message):
    assert run(tmp_path / "shop", *SIZES, *options) == status
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error
    assert not (tmp_path / "shop").exists()


def test_prepare_reads_it(tmp_path):
    assert run(tmp_path / "shop", *SIZES) == 0
    shop, work = tmp_path / "shop", tmp_path / "work"
    arguments = [shop / "interactions.parquet", "--items", shop / "items.parquet", "--split", "last-day", "-w", work]
    assert main(["prepare", *map(str, arguments)]) == 0
    items = pl.read_parquet(work / "prepare" / "items.parquet")
    assert len(items) == 40
    assert (items["title"].str.len_chars() > 5).all()
    assert set(pl.read_parquet(work / "prepare" / "interactions.parquet")["split"]) == {"train", "valid", "test"}
