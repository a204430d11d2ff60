#!/usr/bin/env bash
# Install what the tests need into .venv, then lint, check types and run all tests. Usage: tests/run.sh [pytest options]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash examples/install.sh dev
# One test looks at a page in a real browser, and is skipped where there is none: Debian's is installed in some 20 seconds.
if ! command -v chromium chromium-browser google-chrome >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } >/dev/null 2>&1 ||
        echo "no Chromium could be installed: its test is skipped" >&2
fi
export PATH="$PWD/.venv/bin:$PATH"

ruff check .
ruff format --check .
mypy
# A process per core, at most four: each makes the shared work directories for itself. So PyTorch gets one thread in each.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
python -m pytest -n auto --maxprocesses 4 --dist worksteal "$@"
