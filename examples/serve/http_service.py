"""Serves a memory-mapped index over HTTP, with the standard library and NumPy. One process uses one core.

    python examples/serve/http_service.py work/index/blend-fused.mmap --port 8080
    curl 'localhost:8080/neighbours?item=a&n=5'
    curl 'localhost:8080/recommend?item=a&item=b&n=5'      # recent items, oldest first

Answers are ``[{"item_id": "c", "score": 0.5}, ...]``. A new index that `export-index` puts in the place of this one is
served within a second. For more cores start more processes behind a proxy: they share the index's pages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from index_reader import Index

LONGEST_REQUEST = 1 << 16  # bytes
MOST_ITEMS, MOST_ANSWERS = 100, 1000
LOOK_SECONDS = 1.0


class Service:
    """What is answered; `index` is replaced when its directory is."""

    def __init__(self, directory: Path, recent: int, decay: float) -> None:
        self.index, self.recent, self.decay = Index(directory), recent, decay

    async def follow(self) -> None:
        """Open the index again whenever another one has taken its place."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if not self.index.is_current():
                    self.index = Index(self.index.directory)
            except (OSError, ValueError) as error:
                sys.stderr.write(f"still serving the former index: {error}\n")

    def answer(self, target: str) -> tuple[int, object]:
        """Status and body of a GET request."""
        url = urlsplit(target)
        query = parse_qs(url.query)
        items, n = query.get("item", [])[-MOST_ITEMS:], query.get("n", ["10"])[-1]
        if url.path not in ("/neighbours", "/recommend"):
            return 404, {"error": "ask for /neighbours?item=ID or /recommend?item=ID&item=ID"}
        if not items or not n.isdecimal():
            return 400, {"error": "name at least one item, and n as a number"}
        n_answers = min(int(n), MOST_ANSWERS)
        if url.path == "/neighbours":
            found = self.index.neighbours(items[-1], n_answers)
        else:
            found = self.index.recommend(items[-self.recent :], n_answers, self.decay, seen=items)
        return 200, [{"item_id": item, "score": score} for item, score in found]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection, one after the other."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
                status, body = self.answer(target) if method == "GET" else (405, {"error": "GET alone"})
                data = json.dumps(body, ensure_ascii=False).encode()
                header = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
                writer.write(header.encode() + data)
                await writer.drain()
                if "connection: close" in head.lower():
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, ConnectionError):
            pass  # the other side has gone, or speaks no HTTP
        finally:
            writer.close()


async def serve(directory: Path, host: str, port: int, recent: int, decay: float) -> None:
    service = Service(directory, recent, decay)
    server = await asyncio.start_server(service.talk, host, port, limit=LONGEST_REQUEST, backlog=1024)
    sys.stderr.write(f"serving {directory} at http://{host}:{server.sockets[0].getsockname()[1]}\n")
    async with server:
        await asyncio.gather(server.serve_forever(), service.follow())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="index/MODEL-DATA.mmap")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--recent", type=int, default=MOST_ITEMS, help="M, of the items asked with: as evaluate chose")
    parser.add_argument("--decay", type=float, default=1.0, help="weight of an item relative to the next newer one")
    options = parser.parse_args()
    asyncio.run(serve(options.directory, options.host, options.port, options.recent, options.decay))
