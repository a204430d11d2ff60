"""Objects of a cloud's store as inputs, against a store on this machine."""

from __future__ import annotations

import gzip
import io

import polars as pl
import pytest

from llmi2i_cli.__main__ import main
from llmi2i_cli.data.inputs import expand_inputs
from llmi2i_cli.errors import InputError, UsageError
from llmi2i_cli.files import cloud
from llmi2i_cli.files.cloud import find_object, find_objects
from llmi2i_cli.files.table_folder import TableFolder
from llmi2i_cli.runs.manifests import read_manifest
from tests.files.store import etag, running_store

pytest.importorskip("obstore")
LOG = pl.DataFrame({"user_id": ["u", "u", "v"], "item_id": ["a", "b", "a"], "timestamp": [1, 2, 3]})


@pytest.fixture
def store(monkeypatch):
    with running_store() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        cloud._store.cache_clear()
        yield running
    cloud._store.cache_clear()


def run(*arguments):
    return main([str(argument) for argument in arguments])


def parquet(frame):
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def csv(frame):
    return frame.write_csv().encode()


def urls(pattern):
    return [str(found).removeprefix("s3://shop/") for found in find_objects(f"s3://shop/{pattern}")]


def test_a_url_stands_for_one_object_all_below_it_or_those_that_match(store):
    names = ("logs/dt=1/a.csv", "logs/dt=1/_SUCCESS", "logs/dt=2/b.csv", "logs/dt=2/.c.csv", "logs/d.txt", "logs-old/e")
    store.objects = {f"shop/{name}": b"x" for name in names} | {"shop/logs/dt=2/": b""}
    assert urls("logs") == urls("logs/") == ["logs/d.txt", "logs/dt=1/a.csv", "logs/dt=2/b.csv"]
    assert urls("logs/d.txt") == ["logs/d.txt"]
    assert urls("logs/**/*.csv") == ["logs/dt=1/a.csv", "logs/dt=2/b.csv"]
    assert urls("logs/dt=[2-9]") == ["logs/dt=2/b.csv"]
    assert urls("*/d.*") == ["logs/d.txt"]
    assert len(urls("")) == 4
    with pytest.raises(InputError, match="s3://shop/log: no such object"):
        find_objects("s3://shop/log")
    with pytest.raises(InputError, match=r"s3://shop/\*.pq: matches no object"):
        find_objects("s3://shop/*.pq")


def test_the_files_of_a_table_are_not_read_one_by_one(store):
    names = ("lake/a/_delta_log/0.json", "lake/a/gone.parquet", "lake/b/metadata/1.metadata.json", "lake/b/x.parquet")
    store.objects = {f"shop/{name}": b"x" for name in names}
    with pytest.raises(InputError, match="lake/a, within s3://shop/lake, is a table of delta: name it itself"):
        expand_inputs(["s3://shop/lake"])
    tables = expand_inputs(["s3://shop/lake/a/", "s3://shop/lake/b"])
    assert [(str(table), table.stat().st_size) for table in tables] == [
        ("s3://shop/lake/a", 2),
        ("s3://shop/lake/b", 2),
    ]
    assert [table.form.name for table in tables if isinstance(table, TableFolder)] == ["delta", "iceberg"]
    before = tables[0]
    store.objects["shop/lake/a/_delta_log/1.json"] = b"y"
    assert expand_inputs(["s3://shop/lake/a"]) != [before]


def test_an_object_tells_what_a_path_tells(store):
    store.objects["shop/logs/dt=1/a.csv.gz"] = b"12345"
    [found] = find_objects("s3://shop/logs/dt=1/a.csv.gz")
    assert (found.name, found.stem, found.suffix, found.parent.parts[-1]) == ("a.csv.gz", "a.csv", ".gz", "dt=1")
    assert found.stat() == (5, 1_795_132_800 * 10**9)
    assert found.digest == etag(b"12345")
    with found.open("rb") as handle:
        assert (handle.read(2), handle.read()) == (b"12", b"345")
    assert find_object(found.url) == found
    del store.objects["shop/logs/dt=1/a.csv.gz"]
    assert find_object(found.url) is None
    with pytest.raises(OSError, match="not found"):
        found.open("rb").read()


def test_logs_are_prepared_from_a_store_as_from_the_disk(store, tmp_path, capsys):
    store.objects |= {
        "shop/logs/day=1/a.csv": csv(LOG[:1].drop("timestamp")),
        "shop/logs/day=2/b.parquet": parquet(LOG[1:2].drop("timestamp")),
        "shop/logs/day=3/c.jsonl.gz": gzip.compress(LOG[2:].drop("timestamp").write_ndjson().encode()),
        "shop/items.csv": b"item_id,title\na,Lamp\n",
    }
    LOG.write_csv(tmp_path / "log.csv")
    (tmp_path / "items.csv").write_bytes(store.objects["shop/items.csv"])
    from_store = ("s3://shop/logs", "--items", "s3://shop/items.csv", "--time-column", "day", "-w", tmp_path / "w")
    assert run("prepare", *from_store) == 0
    assert run("prepare", tmp_path / "log.csv", "--items", tmp_path / "items.csv", "-w", tmp_path / "disk") == 0
    for name in ("interactions", "items", "users"):
        path = f"prepare/{name}.parquet"
        assert (tmp_path / "w" / path).read_bytes() == (tmp_path / "disk" / path).read_bytes()
    manifest = read_manifest(tmp_path / "w/prepare/manifest.json")
    assert manifest is not None
    data = store.objects["shop/logs/day=1/a.csv"]
    described = {"bytes": len(data), "mtime_ns": 1_795_132_800 * 10**9, "digest": etag(data)}
    assert manifest["inputs"]["s3://shop/logs/day=1/a.csv"] == described
    output = capsys.readouterr()
    written = b"".join(path.read_bytes() for path in (tmp_path / "w").rglob("*") if path.is_file())
    assert b"not-to-be-told" not in written
    assert "not-to-be-told" not in output.out + output.err


def test_what_changed_in_the_store_is_noticed(store, tmp_path, capsys):
    store.objects["shop/log.csv"] = csv(LOG)
    arguments = ("prepare", "s3://shop/log.csv", "--split", "none", "-w", tmp_path / "w")
    assert run(*arguments) == 0
    capsys.readouterr()
    assert run(*arguments) == 0
    assert "up to date" in capsys.readouterr().err
    assert run("train-i2i", "--model", "bm25", "-w", tmp_path / "w") == 0
    assert run("refit", "-w", tmp_path / "w", "--to", tmp_path / "serve") == 0
    store.objects["shop/log.csv"] = csv(LOG.with_columns(item_id=pl.lit("c")))  # as large, at the same time
    capsys.readouterr()
    assert run("refit", "-w", tmp_path / "w", "--to", tmp_path / "serve") == 1
    assert "s3://shop/log.csv changed" in capsys.readouterr().err
    assert run("status", "-w", tmp_path / "w", "--verify") == 0
    assert "log.csv changed" in capsys.readouterr().out
    assert run(*arguments) == 0
    assert set(pl.read_parquet(tmp_path / "w/prepare/interactions.parquet")["item_id"]) == {"c"}


def test_a_store_that_does_not_answer_is_one_line(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setitem(cloud.RETRIES, "max_retries", 0)
    assert run("prepare", "s3://shop/log.csv", "-w", tmp_path / "w") == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: s3://shop/log.csv cannot be read: Generic S3 error")
    assert error.count("\n") == 1
    assert "not-to-be-told" not in error


def test_objects_of_google_are_prepared(store, tmp_path, monkeypatch):
    for name, value in store.google_environment.items():
        monkeypatch.setenv(name, value)
    store.objects |= {"shop/logs/a.csv": csv(LOG[:1]), "shop/logs/b.csv": csv(LOG[1:])}
    assert run("prepare", "gs://shop/logs", "--split", "none", "-w", tmp_path / "w") == 0
    assert pl.read_parquet(tmp_path / "w/prepare/interactions.parquet").select(LOG.columns).equals(LOG)
    manifest = read_manifest(tmp_path / "w/prepare/manifest.json")
    assert manifest is not None
    assert list(manifest["inputs"]) == ["gs://shop/logs/a.csv", "gs://shop/logs/b.csv"]


@pytest.mark.parametrize(
    ("url", "root", "key", "config"),
    [
        ("gs://shop/a/b.csv", "gs://shop/", "a/b.csv", {"bucket": "shop"}),
        ("az://box/a.csv", "az://box/", "a.csv", {"container_name": "box"}),
        *(
            (
                f"{scheme}://box@shop.dfs.core.windows.net/a/b.csv",
                f"{scheme}://box@shop.dfs.core.windows.net/",
                "a/b.csv",
                {"account_name": "shop", "container_name": "box"},
            )
            for scheme in ("abfs", "abfss")
        ),
    ],
)
def test_what_a_url_names_in_other_stores(monkeypatch, url, root, key, config):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "of-the-environment")
    cloud.check_url(url)
    assert cloud._split(url) == (root, key)
    assert cloud._store.__wrapped__(root).config == config


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://shop/log.csv", "Generic GCS error: "),
        ("abfs://box@shop.dfs.core.windows.net/log.csv", "Generic MicrosoftAzure error: "),
        ("az://box/log.csv", "Generic MicrosoftAzure error: Account must be specified"),
    ],
)
def test_a_store_without_credentials_is_one_line(tmp_path, monkeypatch, capsys, url, message):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # where a machine in the cloud would ask for them
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(cloud.RETRIES, "max_retries", 0)
    cloud._store.cache_clear()
    assert run("prepare", url, "-w", tmp_path / "w") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {url} cannot be read: {message}")
    assert error.endswith(" (credentials and address come from the environment)\n")
    assert error.count("\n") == 1
    assert not (tmp_path / "w/prepare").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "log.csv is empty"),
        (b"user_id,item_id,timestamp\nu,,1\n", "s3://shop/log.csv, line 2: 'item_id' is missing"),
        (b"PAR1" * 10, "s3://shop/log.csv cannot be read as Parquet"),
    ],
)
def test_mistakes_in_objects_are_named_as_in_files(store, tmp_path, capsys, content, message):
    store.objects["shop/log.csv"] = content
    assert run("prepare", "s3://shop/log.csv", "-w", tmp_path / "w") == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://shop/log.csv", "ftp://shop/log.csv: files come from the disk or from s3://"),
        ("s3://somebody:hidden@shop/log.csv", "a URL among the inputs holds credentials"),
        ("abfs://c@a.dfs.core.windows.net/x?sv=1&sig=hidden", "a URL among the inputs holds credentials"),
    ],
)
def test_urls_that_are_refused(url, message):
    with pytest.raises(UsageError, match=message) as caught:
        find_objects(url)
    assert "hidden" not in str(caught.value)
