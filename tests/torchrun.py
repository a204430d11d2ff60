"""Two processes on this machine, as torchrun starts them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

PATIENCE_SECONDS = 300  # for what would otherwise hang


def command(module: str, *arguments: object) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [*launcher, "-m", module, *(str(argument) for argument in arguments)]


def torchrun(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a module in two processes to its end."""
    return subprocess.run(
        command(module, *arguments), capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )


def torchrun_and_kill(folder: Path, mark: str, module: str, *arguments: object) -> None:
    """Run a module in two processes and kill -9 all of them as soon as something in `folder` matches `mark`."""
    launched = subprocess.Popen(command(module, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not list(folder.glob(mark)):
        assert launched.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, f"{mark} never came"
        time.sleep(0.005)
    launcher = psutil.Process(launched.pid)
    for process in [launcher, *launcher.children(recursive=True)]:
        process.kill()
    launched.wait()
