#!/usr/bin/env bash
# Install llmi2i into .venv with the tested versions; does nothing when that has been done. Usage: examples/install.sh [EXTRA]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extra="${1:-}"
wanted="$(cat pyproject.toml tests/constraints.txt | cksum)"
stamp=".venv/.llmi2i-installed${extra:+-$extra}"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Error: $python is older than 3.11: set PYTHON to a newer one" >&2
    exit 1
}
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "Installing llmi2i into .venv ..." >&2
# DeepSpeed (of the extra dev) compiles nothing that a CPU needs.
DS_BUILD_OPS=0 .venv/bin/python -m pip install --quiet --disable-pip-version-check -c tests/constraints.txt -e ".${extra:+[$extra]}"
echo "$wanted" >"$stamp"
