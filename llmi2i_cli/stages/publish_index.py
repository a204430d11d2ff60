"""`llmi2i export-index --to`: let a server serve the index."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from llmi2i_cli.errors import UsageError
from llmi2i_cli.runs.manifests import file_digest, verify
from llmi2i_cli.runs.pipeline import require
from llmi2i_cli.runs.progress import notice


def publish_index(
    workdir: Path,
    to: str,
    *,
    model: str = "swing",
    data: str = "real",
    top_k: int | None = None,
    layout: str = "zset",
    name: str | None = None,
    keep_seconds: int = 3600,
    force: bool = False,
) -> dict[str, Any]:
    """Write a new version of the index into a Redis and let it be served, see `publishing.redis_versions`.

    Parameters
    ----------
    to : ``redis://[USER:PASSWORD@]HOST[:PORT][/DB]``, or ``rediss://`` for TLS
    layout : a row of `choices.redis_layouts`
    name : what all keys begin with; None is ``llmi2i:MODEL-DATA``
    keep_seconds : how long the version that was served is kept

    Returns
    -------
    ``to`` (without user and password), ``name``, ``version``, ``keys`` (how many were written), ``top_k``,
    ``up_to_date`` (that this very index was served already)
    """
    from llmi2i_cli.artifacts.prepared import read_item_ids
    from llmi2i_cli.i2i.neighbour_table import read_neighbours
    from llmi2i_cli.publishing.redis_versions import RedisPlace, publish_to_redis

    name = name or f"llmi2i:{model}-{data}"
    if keep_seconds < 1:
        raise UsageError(f"--keep-seconds is at least 1, not {keep_seconds}: readers look up in the former version")
    place = RedisPlace.of(to, name)
    read = ("prepare/items.parquet", f"i2i/{model}-{data}.parquet")
    contents = [file_digest(require(workdir, path)) for path in read]
    verify(workdir, *read)
    digest = hashlib.blake2b(json.dumps([*contents, top_k, layout]).encode(), digest_size=8).hexdigest()
    item_ids = read_item_ids(workdir)
    neighbours = read_neighbours(workdir, model, data, item_ids, top_k=top_k)
    published = publish_to_redis(
        place, neighbours, item_ids, digest=digest, layout=layout, keep_seconds=keep_seconds, force=force
    )
    if published["up_to_date"]:
        notice(f"export-index: {name} is up to date ({place.address})")
    return {"to": place.address, "name": name, "top_k": neighbours.k, **published}
