"""What a Redis serves is whole at every moment, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import ssl
import sys
from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
import redis

from llmi2i_cli.errors import Llmi2iError, OutputError, UsageError
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.publishing import redis_commands, redis_versions
from llmi2i_cli.publishing.redis_commands import commands
from llmi2i_cli.publishing.redis_versions import RedisPlace, publish_to_redis
from tests.redis_server import redis_server

NAME = "shop*[1]:swing"
ITEM_IDS = pl.Series("item_id", [f"i{number}" for number in range(300)])


def some_neighbours(seed: int) -> Neighbours:
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.choice(len(ITEM_IDS), 4, replace=False) for _ in ITEM_IDS]).astype(np.int32)
    ids[7] = -1
    return Neighbours(ids, np.tile(np.array([4, 3, 2, 1], np.float32), (len(ITEM_IDS), 1)) + seed)


def expected(seed: int) -> dict[str, list[tuple[str, float]]]:
    return {
        ITEM_IDS[row]: [(ITEM_IDS[int(i)], float(s)) for i, s in zip(ids, scores, strict=True)]
        for row, (ids, scores) in enumerate(zip(*vars(some_neighbours(seed)).values(), strict=True))
        if row != 7
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def place(server, monkeypatch):
    monkeypatch.setattr(redis_commands, "NEIGHBOURS_AT_ONCE", 40)  # thirty batches
    place = RedisPlace.of(server, NAME)
    place.client.flushdb()
    place.client.set("shop*[1]:swing-other:keys", "stay")
    place.client.set("shopx1:swing:stays", "too")
    return place


def publish(place, seed, **options):
    settings = {"digest": f"{seed:x}", "layout": "zset", "keep_seconds": 100, **options}
    return publish_to_redis(place, some_neighbours(seed), ITEM_IDS, **settings)


def served(place) -> Mapping[str, list[tuple[str, float]]]:
    """What a reader finds, item by item, of sorted sets."""
    version = place.client.get(f"{NAME}:current")
    found = {item: place.client.zrevrange(f"{NAME}:{version}:{item}", 0, -1, withscores=True) for item in ITEM_IDS}
    return {item: row for item, row in found.items() if row}


def versions_with_keys(place) -> set[str]:
    skip = {f"{NAME}:current", f"{NAME}:versions"}
    keys = {key for key in place.client.scan_iter() if key.startswith(f"{NAME}:")} - skip
    return {key.split(":")[2] for key in keys}


def assert_tidy(place, *versions):
    assert versions_with_keys(place) == set(versions)
    assert place.client.hgetall(f"{NAME}:versions") == {place.client.get(f"{NAME}:current"): "served"}
    assert place.client.get("shop*[1]:swing-other:keys") == "stay"
    assert place.client.get("shopx1:swing:stays") == "too"


def test_a_version_takes_the_place_of_the_former_one_which_expires(place):
    first = publish(place, 1)
    assert (first["keys"], first["up_to_date"]) == (299, False)
    assert served(place) == expected(1)
    assert_tidy(place, first["version"])
    second = publish(place, 2)
    assert served(place) == expected(2)
    assert_tidy(place, first["version"], second["version"])
    assert 0 < place.client.ttl(f"{NAME}:{first['version']}:i0") <= 100
    assert place.client.ttl(f"{NAME}:{second['version']}:i0") == -1
    third = publish(place, 1)  # what was served once is a new version when it comes again
    assert third["version"] not in (first["version"], second["version"])
    assert served(place) == expected(1)
    assert place.client.ttl(f"{NAME}:{third['version']}:i0") == -1


def test_what_is_served_already_is_left_alone(place):
    first = publish(place, 1)
    assert publish(place, 1) == {"version": first["version"], "keys": 0, "up_to_date": True}
    again = publish(place, 1, force=True)
    assert (again["version"] != first["version"], again["keys"]) == (True, 299)
    assert served(place) == expected(1)


def test_lists_are_text(place):
    version = publish(place, 1, layout="list")["version"]
    rows = {item: place.client.get(f"{NAME}:{version}:{item}") for item in ITEM_IDS}
    texts = {item: ",".join(f"{i}:{score}" for i, score in row) for item, row in expected(1).items()}
    assert {item: row for item, row in rows.items() if row} == texts


def killed_after(batches, old_prefix):
    """In place of `commands`: these batches, then the end of the process."""

    def sent(_layout, prefix, *_):
        for encoded, n in batches:
            yield encoded.replace(old_prefix.encode(), prefix.encode()), n
        os.kill(os.getpid(), signal.SIGKILL)

    return sent


def test_killed_anywhere_the_former_version_is_whole_and_the_next_run_cleans_up(place, monkeypatch):
    first = publish(place, 1)
    prefix = place.prefix(f"{first['version'][:-1]}2")  # as long as that of any version
    batches = list(commands("zset", prefix, some_neighbours(2), ITEM_IDS))
    for n_sent in (0, 1, 17, len(batches)):
        child = os.fork()  # in which Polars, which has threads, does not work
        if child == 0:
            monkeypatch.setattr(redis_versions, "commands", killed_after(batches[:n_sent], prefix))
            try:
                publish(RedisPlace.of(place.address, NAME), 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert served(place) == expected(1)
        assert 0 < place.client.ttl(f"{NAME}:lock") <= redis_versions.LOCK_SECONDS
        place.client.delete(f"{NAME}:lock")  # as after that time
    second = publish(place, 2)
    assert served(place) == expected(2)
    assert_tidy(place, first["version"], second["version"])


def test_killed_between_the_switch_and_the_tidying_up(place, monkeypatch):
    first = publish(place, 1)
    monkeypatch.setattr(redis_versions, "_tidy", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        publish(place, 2)
    assert served(place) == expected(2)
    monkeypatch.undo()
    assert publish(place, 2)["up_to_date"]
    assert place.client.ttl(f"{NAME}:{first['version']}:i0") > 0
    assert place.client.hgetall(f"{NAME}:versions") == {place.client.get(f"{NAME}:current"): "served"}


def test_redis_that_is_full_refuses_and_gets_its_memory_back(place):
    first = publish(place, 1)
    used = place.client.info("memory")["used_memory"]
    place.client.config_set("maxmemory", used + 10_000)
    try:
        with pytest.raises(OutputError, match=r"what it serves of .* is whole; give the same command again"):
            publish(place, 2)
    finally:
        place.client.config_set("maxmemory", 0)
    assert served(place) == expected(1)
    assert_tidy(place, first["version"])


def test_redis_that_goes_away_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(redis_commands, "NEIGHBOURS_AT_ONCE", 40)
    with redis_server(tmp_path) as url:
        place = RedisPlace.of(url, NAME)
        publish(place, 1)

        def some(*arguments):
            for number, batch in enumerate(commands(*arguments)):
                if number == 10:
                    place.client.shutdown(nosave=True)
                yield batch

        monkeypatch.setattr(redis_versions, "commands", some)
        with pytest.raises(OutputError, match=f"{place.address}: .*give the same command again"):
            publish(place, 2)
    with pytest.raises(OutputError, match="Connection refused"):
        publish(place, 2)


def test_one_at_a_time(place, monkeypatch, capsys):
    with monkeypatch.context() as patch, place.client.lock(f"{NAME}:lock", timeout=600):
        patch.setattr(redis_versions, "LOCK_SECONDS", 0.2)
        with pytest.raises(OutputError, match="another process publishes"):
            publish(place, 1)
    assert "waiting for it" in capsys.readouterr().err

    def robbed(*arguments):
        yield next(commands(*arguments))
        place.client.set(f"{NAME}:lock", "another's")
        yield next(commands(*arguments))

    monkeypatch.setattr(redis_versions, "commands", robbed)
    with pytest.raises(OutputError, match=r"another process has begun to publish .*: nothing was switched"):
        publish(place, 1)
    assert place.client.get(f"{NAME}:current") is None
    assert versions_with_keys(place) == {"lock"}


SECRET = "s3cr/et"


@pytest.mark.parametrize(
    "url",
    ["http://host", "redis://", f"redis://:{SECRET}@host:port", f"redis://u:{SECRET}@host:1/x", "host:6379", ""],
)
def test_what_is_no_address_is_not_repeated(url):
    with pytest.raises(UsageError, match="--to is an address like redis://HOST:PORT/DB") as error:
        RedisPlace.of(url, NAME)
    assert "s3cr" not in str(error.value)


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(UsageError, match=r"needs the package redis: pip install 'llmi2i\[redis\]'"):
        RedisPlace.of("redis://127.0.0.1", "shop")


def test_tls_is_asked_for_by_the_scheme():
    place = RedisPlace.of(f"rediss://somebody:{SECRET.replace('/', '%2F')}@cache:6380/2", NAME)
    assert place.address == "rediss://cache:6380/2"
    pool = place.client.connection_pool
    asked = pool.connection_kwargs
    assert pool.connection_class is redis.SSLConnection
    assert (asked["username"], asked["password"], asked["db"]) == ("somebody", SECRET, 2)
    assert pool.make_connection().cert_reqs == ssl.CERT_REQUIRED
    assert RedisPlace.of("redis://cache", NAME).client.connection_pool.connection_class is redis.Connection


def test_a_server_without_tls_is_one_line(server, monkeypatch):
    monkeypatch.setattr(redis_versions, "ANSWER_SECONDS", 0.2)  # it waits for the end of what it takes for a command
    with pytest.raises(OutputError, match=r"^rediss://127.0.0.1:\d+/0: .*give the same command again$"):
        publish(RedisPlace.of(server.replace("redis:", "rediss:"), NAME), 1)


def test_passwords_come_from_the_url_or_the_environment_and_are_never_told(tmp_path, monkeypatch):
    with redis_server(tmp_path, "--requirepass", "s3cret") as url:
        right, wrong = url.replace("//", "//:s3cret@"), url.replace("//", "//:wr0ng@")
        place = RedisPlace.of(right, NAME)
        assert "s3cret" not in place.address
        assert publish(place, 1)["keys"] == 299
        for each in (url, wrong):
            with pytest.raises(Llmi2iError) as error:
                publish(RedisPlace.of(each, NAME), 1)
            assert "wr0ng" not in str(error.value)
        monkeypatch.setenv("REDISCLI_AUTH", "s3cret")
        assert publish(RedisPlace.of(url, NAME), 1)["up_to_date"]
