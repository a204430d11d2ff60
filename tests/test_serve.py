"""The readers in examples/serve/ give what `llmi2i recommend` gives."""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import polars as pl
import pytest
import redis

from llmi2i_cli.artifacts.prepared import read_histories, read_item_ids
from llmi2i_cli.files.atomic import put_in_place
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.served_index import write_served_index
from tests.conftest import run
from tests.redis_server import redis_server
from tests.stages.shop import answer, prepare_shop

EXAMPLES = Path(__file__).parents[1] / "examples" / "serve"


def example(monkeypatch, name: str) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work directory with a table and its memory-mapped index. Not to be written to."""
    workdir = prepare_shop(tmp_path_factory.mktemp("serve"))
    assert run("train-i2i", "--top-k", 12, "-w", workdir) == 0
    assert run("export-index", "--format", "mmap", "-w", workdir) == 0
    return workdir


def queries(work, n):
    ids, histories = read_item_ids(work), read_histories(work)
    return [[ids[int(item)] for item in histories.row(user)] for user in range(n)]


def recommended(capsys, work, query, decay, top_n=6, recent=100):
    options = ("--decay", decay, "--recent", recent, "--top-n", top_n)
    return [(row["item_id"], row["score"]) for row in answer(capsys, "recommend", *query, *options, "-w", work)]


@pytest.mark.parametrize("decay", [1.0, 0.8])
def test_the_reader_ranks_as_the_program_does(work, monkeypatch, capsys, decay):
    index = example(monkeypatch, "index_reader").Index(work / "index/swing-real.mmap")
    for query in queries(work, 5):
        expected = recommended(capsys, work, query, decay)
        found = index.recommend(["unknown", *query], n=6, decay=decay)
        assert [item for item, _ in found] == [item for item, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected])
    first = [(row["item_id"], row["score"]) for row in answer(capsys, "recommend", "--item", "i3", "-w", work)]
    assert index.neighbours("i3") == first
    assert index.neighbours("unknown") == index.recommend(["unknown"]) == index.recommend([]) == []


PACKAGES = {"index_reader": {"numpy"}, "http_service": {"index_reader"}, "redis_reader": set()}


def test_items_without_neighbours_lead_nowhere(tmp_path, monkeypatch):
    ids = pl.Series("item_id", ["a", "b", "c"])
    neighbours = Neighbours(np.array([[-1, -1], [2, -1], [1, 0]], np.int32), np.ones((3, 2), np.float32))
    write_served_index(tmp_path / "index.mmap", neighbours, ids)
    index = example(monkeypatch, "index_reader").Index(tmp_path / "index.mmap")
    assert index.recommend(["a"]) == index.neighbours("a") == []
    assert index.recommend(["a", "c"]) == [("b", 1.0)]
    assert index.recommend(["b", "c"]) == [("a", 1.0)]


@pytest.mark.parametrize("name", PACKAGES)
def test_readers_need_next_to_nothing(name):
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {str(each).split(".")[0] for each in imported} - set(sys.stdlib_module_names) == PACKAGES[name]


def test_the_redis_reader_ranks_as_the_program_does(work, tmp_path, monkeypatch, capsys):
    reader = example(monkeypatch, "redis_reader")
    with redis_server(tmp_path) as url:
        client = redis.Redis.from_url(url, decode_responses=True)
        for layout in ("zset", "list"):
            assert run("export-index", "--to", url, "--layout", layout, "--name", layout, "-w", work) == 0
            index = reader.RedisIndex(client, layout, layout)
            for query in queries(work, 2):
                expected = dict(recommended(capsys, work, query, 0.8, top_n=100))
                found = index.recommend(["unknown", *query], n=100, decay=0.8)
                assert dict(found) == pytest.approx(expected)
                assert not set(query) & {item for item, _ in index.recommend(query[-1:], n=100, seen=query)}
                assert [score for _, score in found] == pytest.approx(sorted(expected.values(), reverse=True))
            assert index.neighbours(["i3"], n=2) == [index.neighbours(["i3"])[0][:2]]
            assert len(index.neighbours(["i3", "unknown"])[1]) == 0


@pytest.fixture
def ask_service(work, tmp_path, monkeypatch):
    """Runs a service of a copy of the index while a function of its URL and the copy's path asks it."""
    module = example(monkeypatch, "http_service")
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    directory = tmp_path / "served.mmap"
    shutil.copytree(work / "index/swing-real.mmap", directory)

    async def asked(ask):
        service = module.Service(directory, recent=3, decay=0.8)
        async with await asyncio.start_server(service.talk, "127.0.0.1", 0) as server:
            following = asyncio.create_task(service.follow())
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            await asyncio.to_thread(ask, url, directory)
            following.cancel()

    return lambda ask: asyncio.run(asked(ask))


def fetched(url, path, **query):
    with urllib.request.urlopen(f"{url}{path}?{urlencode(query, doseq=True)}") as response:
        return json.load(response)


def test_the_service_answers(work, ask_service, capsys):
    query = next(query for query in queries(work, 9) if len(query) > 3)
    expected = [item for item, _ in recommended(capsys, work, query, 0.8, recent=3)]

    def ask(url, _):
        assert [row["item_id"] for row in fetched(url, "/recommend", item=query, n=6)] == expected
        assert len(fetched(url, "/neighbours", item="i3", n=2)) == 2
        for path, status in (("/", 404), ("/recommend", 400), ("/recommend?item=a&n=x", 400)):
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(url + path)
            assert error.value.code == status

    ask_service(ask)


def test_the_service_follows_a_new_index(work, ask_service, tmp_path):
    shutil.copytree(work, tmp_path / "work")
    assert run("export-index", "--top-k", 1, "--format", "mmap", "-w", tmp_path / "work") == 0

    def ask(url, directory):
        before = found = fetched(url, "/neighbours", item="i3", n=12)
        put_in_place(tmp_path / "work/index/swing-real.mmap", directory)
        deadline = time.monotonic() + 30
        while found == before and time.monotonic() < deadline:
            found = fetched(url, "/neighbours", item="i3", n=12)
        assert found == before[:1] != before

    ask_service(ask)
