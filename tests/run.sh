#!/usr/bin/env bash
# Install what the tests need into .venv, then lint, check types and run all tests. Usage: tests/run.sh [pytest options]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash examples/install.sh dev
export PATH="$PWD/.venv/bin:$PATH"

ruff check .
ruff format --check .
mypy
# A process a core, at most four: each makes the shared work directories for itself.
python -m pytest -n auto --maxprocesses 4 --dist worksteal "$@"
