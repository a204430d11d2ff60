"""`llmi2i export-index --to`: let a server serve the index."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from llmi2i_cli.choices.rules import NO_RULES, RuleOptions
from llmi2i_cli.errors import UsageError
from llmi2i_cli.publishing.rule_files import filling_paths, rule_files
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
    rules: RuleOptions = NO_RULES,
    name: str | None = None,
    keep_seconds: int = 3600,
    force: bool = False,
) -> dict[str, Any]:
    """Write a new version of the index into a Redis and let it be served, see `publishing.redis_versions`.

    Parameters
    ----------
    to : ``redis://[USER:PASSWORD@]HOST[:PORT][/DB]``, or ``rediss://`` for TLS
    layout : a row of `choices.redis_layouts`
    rules : what may be whose neighbour
    name : what all keys begin with; None is ``llmi2i:MODEL-DATA``
    keep_seconds : how long the version that was served is kept

    Returns
    -------
    ``to`` (without user and password), ``name``, ``version``, ``keys`` (how many were written), ``top_k``,
    ``up_to_date`` (that this very index was served already)
    """
    from llmi2i_cli.artifacts.prepared import read_item_ids
    from llmi2i_cli.publishing.redis_versions import RedisPlace, publish_to_redis
    from llmi2i_cli.publishing.ruled_neighbours import ruled_neighbours

    name = name or f"llmi2i:{model}-{data}"
    if keep_seconds < 1:
        raise UsageError(f"--keep-seconds is at least 1, not {keep_seconds}: readers look up in the former version")
    place = RedisPlace.of(to, name)
    read = ("prepare/items.parquet", f"i2i/{model}-{data}.parquet", *filling_paths(rules, data))
    files = [require(workdir, path) for path in read] + rule_files(workdir, rules)
    verify(workdir, *read)
    identity = [*map(file_digest, files), rules.given(), top_k, layout]
    digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=8).hexdigest()
    item_ids = read_item_ids(workdir)
    neighbours = ruled_neighbours(workdir, model, data, item_ids, top_k=top_k, options=rules)
    published = publish_to_redis(
        place, neighbours, item_ids, digest=digest, layout=layout, keep_seconds=keep_seconds, force=force
    )
    if published["up_to_date"]:
        notice(f"export-index: {name} is up to date ({place.address})")
    return {"to": place.address, "name": name, "top_k": neighbours.k, **published}
