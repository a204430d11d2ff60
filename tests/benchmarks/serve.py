"""Latency of the service in examples/serve/ under wrk: `python -m tests.benchmarks.serve [--items N] [--rate N]`.

The service has a core, wrk (https://github.com/wg/wrk) another. Ten connections each wait a random time before the next
request, so that all together ask about `--rate` times a second: for the best 10 items after 10 random items, of a
memory-mapped index of `--items` x 200 with random neighbours, in memory. The rate that was reached stands beside the
latencies.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import fair
from tests.benchmarks.own_process import in_own_process
from tests.benchmarks.retrieval import write_index

SERVICE = Path(__file__).parents[2] / "examples" / "serve" / "http_service.py"
CONNECTIONS, RECENT = 10, 10
# wrk calls these for each request; a connection's next one waits for as many milliseconds as `delay` says.
SCRIPT = """
function request()
  local items = {{}}
  for place = 1, {recent} do items[place] = string.format("item=item-%09d", math.random(0, {last})) end
  return wrk.format("GET", "/recommend?" .. table.concat(items, "&"))
end
function delay() return math.random(0, {most_delay_ms}) end
"""


def latencies(url: str, script: Path, seconds: int) -> tuple[str, str, str]:
    """Requests a second, p50 and p99 as wrk tells them. Fails if an answer was an error."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in told and "Socket errors" not in told, told
    found = [re.search(pattern, told) for pattern in (r"Requests/sec:\s*(\S+)", r"\n +50% +(\S+)", r"\n +99% +(\S+)")]
    rate, p50, p99 = (each[1] for each in found if each)
    return rate, p50, p99


def measure(n_items: int, rate: int, seconds: int) -> tuple[str, str, str]:
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        index, script = Path(folder) / "index.mmap", Path(folder) / "requests.lua"
        in_own_process(write_index, index, n_items)
        about = {"recent": RECENT, "last": n_items - 1, "most_delay_ms": max(round(2000 * CONNECTIONS / rate) - 2, 0)}
        script.write_text(SCRIPT.format(**about))
        command = [sys.executable, str(SERVICE), str(index), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
            assert service.stderr is not None
            try:
                url = service.stderr.readline().split(" at ")[-1].strip()
                os.sched_setaffinity(service.pid, cores[:1])
                os.sched_setaffinity(0, cores[1:] or cores)  # of this process, and so of wrk
                latencies(url, script, max(seconds // 4, 1))  # brings the index into memory
                return latencies(url, script, seconds)
            finally:
                service.terminate()


def main() -> None:
    parser = fair.parser(__doc__, ("http",), runs=1)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=1000, help="requests a second")
    parser.add_argument("--seconds", type=int, default=20)
    options = fair.parse(parser)
    if shutil.which("wrk") is None:
        parser.error("it needs wrk: apt-get install wrk")
    columns = ("service", "core", "clock", "requests/s", "p50", "p99")
    what = f"{options.items:,} items x 200, M = {RECENT}, top 10, JSON over HTTP, {CONNECTIONS} connections"
    fair.print_table(columns, [(what, "1", fair.CLOCK, *measure(options.items, options.rate, options.seconds))])


if __name__ == "__main__":
    main()
