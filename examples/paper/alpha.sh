#!/usr/bin/env bash
# What the long-tail-aware loss does: a generator for each alpha of eq. (2), and what it proposes and finds.
# Usage: examples/paper/alpha.sh DATA_DIR WORKDIR    (DATA_DIR holds sequences.txt and items.csv)
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "Usage: examples/paper/alpha.sh DATA_DIR WORKDIR" >&2
    exit 2
fi
data="$(realpath "$1")"
root="$(realpath -m "$2")"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash examples/install.sh
export PATH="$PWD/.venv/bin:$PATH"

llmi2i prepare "$data/sequences.txt" --items "$data/items.csv" -w "$root"
for alpha in 1 2 4 8; do
    export LLMI2I_WORKDIR="$root/alpha-$alpha"
    mkdir -p "$LLMI2I_WORKDIR"
    cp -r "$root/prepare" "$LLMI2I_WORKDIR/"
    llmi2i sft-gen --alpha "$alpha"
    llmi2i synthesize
    llmi2i evaluate --model generator --split valid
done
python examples/paper/alpha.py "$root"/alpha-{1,2,4,8}
