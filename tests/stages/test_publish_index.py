from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
import redis

from tests.redis_server import redis_server
from tests.stages.shop import answer, prepare_shop, run


@pytest.fixture
def workdir(tmp_path):
    workdir = prepare_shop(tmp_path)
    assert run("train-i2i", "--top-k", 8, "-w", workdir) == 0
    return workdir


def test_the_table_is_served(workdir, tmp_path, capsys):
    trained = pl.read_parquet(workdir / "i2i/swing-real.parquet").filter(pl.col("rank") <= 5)
    rows = {
        item: [(row["neighbour_id"], row["score"]) for row in trained.filter(item_id=item).to_dicts()]
        for item in trained["item_id"].unique()
    }
    with redis_server(tmp_path) as url:
        client: Any = redis.Redis.from_url(url, decode_responses=True)
        told = answer(capsys, "export-index", "--to", url, "--top-k", 5, "-w", workdir)
        assert [(row["path"], row["items"], row["top_k"], row["name"]) for row in told] == [
            (url, len(rows), 5, "llmi2i:swing-real")
        ]
        assert not (workdir / "index").exists()
        version = client.get("llmi2i:swing-real:current")
        for item, row in rows.items():
            found = client.zrevrange(f"llmi2i:swing-real:{version}:{item}", 0, -1, withscores=True)
            assert sorted(found) == sorted((i, pytest.approx(score)) for i, score in row)
        assert answer(capsys, "export-index", "--to", url, "--top-k", 5, "-w", workdir)[0]["up_to_date"]
        options = ("--layout", "list", "--name", "lists", "--format", "jsonl")
        both = answer(capsys, "export-index", "--to", url, "--top-k", 5, *options, "-w", workdir)
        assert [row["path"] for row in both] == [str(workdir / "index/swing-real.jsonl"), url]
        prefix = f"lists:{client.get('lists:current')}:"
        for line in map(json.loads, (workdir / "index/swing-real.jsonl").read_text().splitlines()):
            found = str(client.get(prefix + line["item_id"]) or "")
            pairs = [pair.split(":") for pair in found.split(",") if pair]
            assert [i for i, _ in pairs] == line["neighbour_ids"]
            assert [float(score) for _, score in pairs] == line["scores"]


def test_what_cannot_be_published(workdir, capsys):
    for to, message in (("redis://:s3cret@127.0.0.1:1", "redis://127.0.0.1:1/0: "), ("redis:/x", "--to is an address")):
        capsys.readouterr()
        assert run("export-index", "--to", to, "-w", workdir) in (1, 2)
        error = capsys.readouterr().err
        assert error.startswith(f"Error: {message}")
        assert error.count("\n") == 1
        assert "s3cret" not in error


@pytest.mark.parametrize("way", ["url", "environment"])
def test_no_log_and_no_manifest_holds_the_password(workdir, tmp_path, monkeypatch, capfd, way):
    with redis_server(tmp_path, "--requirepass", "s3cret") as url:
        if way == "environment":
            monkeypatch.setenv("REDISCLI_AUTH", "s3cret")
        to = url.replace("//", "//:s3cret@") if way == "url" else url
        for options in ((), ("--force",), ("--json",)):
            assert run("export-index", "--to", to, "--format", "jsonl", *options, "-w", workdir) == 0
        assert run("status", "-w", workdir) == 0
        client: Any = redis.Redis.from_url(to, password="s3cret", decode_responses=True)
        held = [client.get("llmi2i:swing-real:current"), *client.hgetall("llmi2i:swing-real:versions")]
    told = capfd.readouterr()
    assert url in told.out  # the address alone
    assert "s3cret" not in "".join((told.out, told.err, *held))
    written = [path for path in workdir.rglob("*") if path.is_file()]
    assert workdir / "index/swing-real.jsonl.manifest.json" in written
    assert not any(b"s3cret" in path.read_bytes() for path in written)
