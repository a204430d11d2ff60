"""An index in Redis: a new version is written beside the one that is served, and takes its place in one step.

::

    NAME:current         the version that is served; a reader looks here first
    NAME:VERSION:ITEM    the neighbours of an item in a version, see `redis_commands`
    NAME:versions        a hash of the versions that have keys: ``writing`` or ``served``
    NAME:lock            held by who publishes, renewed with every batch

A version is named before its first key is written, and no version is written twice. So whatever happens meanwhile, the
served one is whole, and the next run finds by name what a killed one has left. A version that was served is kept for
those who still read it, then Redis lets it expire.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from llmi2i_cli.errors import OutputError, UsageError
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours
from llmi2i_cli.publishing.redis_commands import check_ids, commands
from llmi2i_cli.runs.progress import notice

PASSWORD_VARIABLE = "REDISCLI_AUTH"  # that redis-cli reads, too
CONNECT_SECONDS, ANSWER_SECONDS = 10, 60
LOCK_SECONDS = 30
KEYS_AT_ONCE = 1000
EXPIRE = "for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[1]) end"
WRITING, SERVED = "writing", "served"


@dataclass(frozen=True)
class RedisPlace:
    """Where in which Redis an index is published.

    Attributes
    ----------
    client : redis.Redis, with answers as text
    address : the URL without user, password and options, for people to see
    name : what all keys begin with
    """

    client: Any
    address: str
    name: str

    @classmethod
    def of(cls, url: str, name: str) -> RedisPlace:
        """A place by its URL, ``redis://[USER:PASSWORD@]HOST[:PORT][/DB]``; nothing is connected yet.

        UsageError if that is no such URL (which is not repeated: it may hold a password), or redis is not installed.
        """
        try:
            import redis
        except ImportError:
            raise UsageError("--to redis://... needs the package redis: pip install 'llmi2i[redis]'") from None
        try:
            parts = urlsplit(url)
            if parts.scheme not in ("redis", "rediss") or not parts.hostname:
                raise ValueError
            address = f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}/{int(parts.path.strip('/') or 0)}"
            client = redis.Redis.from_url(
                url,
                password=os.environ.get(PASSWORD_VARIABLE),
                decode_responses=True,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=ANSWER_SECONDS,
            )
        except (ValueError, TypeError):
            raise UsageError("--to is an address like redis://HOST:PORT/DB or rediss://HOST:PORT/DB") from None
        return cls(client, address, name)

    @property
    def current(self) -> str:
        return f"{self.name}:current"

    @property
    def versions(self) -> str:
        return f"{self.name}:versions"

    def prefix(self, version: str) -> str:
        return f"{self.name}:{version}:"


def publish_to_redis(
    place: RedisPlace,
    neighbours: Neighbours,
    item_ids: pl.Series,
    *,
    digest: str,
    layout: str,
    keep_seconds: int,
    force: bool = False,
) -> dict[str, Any]:
    """Write a new version and let it be served; returns ``version``, ``keys`` written and ``up_to_date``.

    Parameters
    ----------
    item_ids : String (n_items,), the catalogue in the order of the indices
    digest : of what is published; where a version of that is served already, it stays, unless `force`
    keep_seconds : how long a version is kept after it was served

    Raises
    ------
    UsageError : an item id cannot stand in this layout
    OutputError : Redis cannot be reached, refuses or is gone; what it serves is then what it was
    """
    check_ids(layout, item_ids)
    with _in_words(place), _locked(place) as lock:
        served = place.client.get(place.current)
        if served is not None and served.endswith(f"-{digest}") and not force:
            _tidy(place, served, keep_seconds)
            return {"version": served, "keys": 0, "up_to_date": True}
        version = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{time.time_ns() % 10**9:09d}-{digest}"
        place.client.hset(place.versions, version, WRITING)
        try:
            _write(place, commands(layout, place.prefix(version), neighbours, item_ids), lock)
            _switch(place, version, lock)
        except BaseException:
            _give_up(place, version)
            raise
        _tidy(place, version, keep_seconds)
    return {"version": version, "keys": int((neighbours.ids != EMPTY).any(axis=1).sum()), "up_to_date": False}


def _write(place: RedisPlace, batches: Iterator[tuple[bytes, int]], lock: Any) -> None:
    """Send encoded commands, each batch while Redis works on the one before, and hear the answer to each."""
    connection = place.client.connection_pool.get_connection()
    waiting = 0
    try:
        for encoded, n_commands in batches:
            connection.send_packed_command([encoded])
            for _ in range(waiting):
                connection.read_response()
            waiting = n_commands
            lock.reacquire()
        for _ in range(waiting):
            connection.read_response()
    except BaseException:
        connection.disconnect()  # answers are still on their way
        raise
    finally:
        place.client.connection_pool.release(connection)


def _switch(place: RedisPlace, version: str, lock: Any) -> None:
    """Let a version be served, if nobody else has begun to publish meanwhile."""
    with place.client.pipeline(transaction=True) as transaction:
        transaction.watch(lock.name)
        if not lock.owned():
            raise _lost(place)
        transaction.multi()
        transaction.set(place.current, version)
        transaction.hset(place.versions, version, SERVED)
        transaction.execute()


def _give_up(place: RedisPlace, version: str) -> None:
    """Remove a version that is not to be served, as far as Redis can still be asked to: it may be full."""
    import redis

    with suppress(redis.exceptions.RedisError, OSError):
        if place.client.get(place.current) != version:
            _drop(place, version, keep_seconds=0)


def _tidy(place: RedisPlace, served: str, keep_seconds: int) -> None:
    """Remove what was never served, and let expire what was, of all versions but the one that is."""
    for version, state in place.client.hgetall(place.versions).items():
        if version != served:
            _drop(place, version, keep_seconds if state == SERVED else 0)


def _drop(place: RedisPlace, version: str, keep_seconds: int) -> None:
    """Let a version expire; after 0 seconds it is gone at once. Its name is forgotten last: a killed run's is kept."""
    expire = place.client.register_script(EXPIRE)
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", place.prefix(version)) + "*"
    keys = place.client.scan_iter(pattern, count=KEYS_AT_ONCE)
    while some := list(islice(keys, KEYS_AT_ONCE)):
        expire(some, [keep_seconds])
    place.client.hdel(place.versions, version)


@contextmanager
def _locked(place: RedisPlace) -> Iterator[Any]:
    """One process at a time publishes under a name; that of a killed one is free after `LOCK_SECONDS`."""
    lock = place.client.lock(f"{place.name}:lock", timeout=LOCK_SECONDS, raise_on_release_error=False)
    if not lock.acquire(blocking=False):
        notice(f"{place.address}: another process publishes {place.name}, or was killed: waiting for it")
        if not lock.acquire(blocking_timeout=2 * LOCK_SECONDS):
            raise OutputError(f"{place.address}: another process publishes {place.name}: wait until it is done")
    try:
        yield lock
    finally:
        lock.release()


@contextmanager
def _in_words(place: RedisPlace) -> Iterator[None]:
    """Errors of Redis and of the way there, in one line that has no password."""
    import redis

    try:
        yield
    except redis.exceptions.LockError:
        raise _lost(place) from None
    except (redis.exceptions.RedisError, OSError) as error:
        raise OutputError(
            f"{place.address}: {error}: what it serves of {place.name} is whole; give the same command again"
        ) from error


def _lost(place: RedisPlace) -> OutputError:
    return OutputError(f"{place.address}: another process has begun to publish {place.name}: nothing was switched")
