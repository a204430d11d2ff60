"""A short form of `python -m tests.faults`: some cases of each kind, in a process that has computed nothing before."""

from __future__ import annotations

import subprocess
import sys


def test_a_few_faults_of_each_kind(shop, pipeline):
    given = ("--cases", "1", "--shop", shop, "--finished", pipeline)
    command = [sys.executable, "-m", "tests.faults", *map(str, given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n") == 11  # a heading, and a line for each of ten kinds
