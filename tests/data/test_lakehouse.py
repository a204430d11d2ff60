"""Tables of lakehouses: only the files that their logs name count."""

from __future__ import annotations

import json

import polars as pl
import pytest

from llmi2i_cli.__main__ import main
from llmi2i_cli.data.inputs import expand_inputs
from llmi2i_cli.files.table_folder import TableFolder

LOG = pl.DataFrame({"user_id": ["u", "v", "v"], "item_id": ["a", "b", "a"], "timestamp": [1, 2, 3]})
TYPES = {"user_id": "string", "item_id": "string", "timestamp": "long"}


def run(*arguments):
    return main([str(argument) for argument in arguments])


def commit(table, *actions):
    log = table / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    (log / f"{len(list(log.iterdir())):020d}.json").write_text("\n".join(map(json.dumps, actions)))


def added(table, name, rows):
    rows.write_parquet(table / name)
    about = {"partitionValues": {}, "size": (table / name).stat().st_size, "modificationTime": 1, "dataChange": True}
    return {"add": {"path": name, **about}}


@pytest.fixture
def delta(tmp_path):
    """A Delta table whose first file was replaced."""
    table = tmp_path / "lake" / "clicks"
    table.mkdir(parents=True)
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in TYPES.items()]
    about = {"id": "x", "format": {"provider": "parquet", "options": {}}, "partitionColumns": [], "configuration": {}}
    schema = json.dumps({"type": "struct", "fields": fields})
    gone = added(table, "gone.parquet", LOG[:1].with_columns(user_id=pl.lit("gone")))
    commit(
        table,
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {"metaData": {**about, "schemaString": schema}},
        gone,
    )
    removed = {"path": "gone.parquet", "deletionTimestamp": 2, "dataChange": True}
    commit(table, {"remove": removed}, added(table, "a.parquet", LOG[:2]), added(table, "b.parquet", LOG[2:]))
    return table


def interactions(workdir):
    return pl.read_parquet(workdir / "prepare/interactions.parquet").select(LOG.columns)


def test_a_delta_table_is_read_at_its_latest_version(delta, tmp_path, capsys):
    pytest.importorskip("deltalake")
    arguments = ("prepare", delta, "--split", "none", "-w", tmp_path / "w")
    assert run(*arguments) == 0
    assert interactions(tmp_path / "w").sort("timestamp").equals(LOG)
    capsys.readouterr()
    assert run(*arguments) == 0
    assert "up to date" in capsys.readouterr().err
    commit(delta, added(delta, "c.parquet", LOG[:1].with_columns(timestamp=pl.lit(9))))
    assert run("status", "-w", tmp_path / "w") == 0
    assert "clicks changed" in capsys.readouterr().out.replace("\n", "")
    assert run(*arguments) == 0
    assert len(interactions(tmp_path / "w")) == 4


def test_a_table_within_a_folder_is_not_read_as_its_files(delta, tmp_path, capsys):
    assert run("prepare", delta.parent, "-w", tmp_path / "w") == 1
    assert f"{delta}, within {delta.parent}, is a table of delta: name it itself" in capsys.readouterr().err
    assert [str(found) for found in expand_inputs([delta.parent / "**/*"])] == [str(delta)]
    assert run("prepare", delta, "--format", "csv", "-w", tmp_path / "w") == 1
    assert f"{delta} is a table of delta, and no file: leave out --format" in capsys.readouterr().err
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\nu,i,1\n")
    assert run("prepare", tmp_path / "log.csv", "--format", "delta", "-w", tmp_path / "w") == 1
    assert "log.csv is a file, and the format that was asked for is a folder" in capsys.readouterr().err


@pytest.fixture
def iceberg(tmp_path):
    table = tmp_path / "views"
    (table / "metadata").mkdir(parents=True)
    for name in ("00002-x", "00010-y", "00009-z"):
        (table / f"metadata/{name}.metadata.json").write_text("{}")
    (table / "metadata/snap-99-1.avro").write_bytes(b"x")
    return table


def test_an_iceberg_table_is_read_at_its_latest_metadata(iceberg, tmp_path, monkeypatch):
    asked = []

    def scan(path):
        asked.append(path)
        return LOG.lazy()

    monkeypatch.setattr(pl, "scan_iceberg", scan)
    assert run("prepare", iceberg, "--split", "none", "-w", tmp_path / "w") == 0
    assert interactions(tmp_path / "w").sort("timestamp").equals(LOG)
    assert set(asked) == {f"{iceberg}/metadata/00010-y.metadata.json"}
    [found] = expand_inputs([iceberg])
    assert isinstance(found, TableFolder)
    assert found.form.name == "iceberg"


def test_the_package_that_is_missing_is_named(iceberg, tmp_path, monkeypatch, capsys):
    def scan(path):
        raise ModuleNotFoundError("pyiceberg")

    monkeypatch.setattr(pl, "scan_iceberg", scan)
    assert run("prepare", iceberg, "-w", tmp_path / "w") == 1
    assert f"{iceberg} is a table of iceberg: pip install 'llmi2i[iceberg]' to read it" in capsys.readouterr().err
