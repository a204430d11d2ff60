#!/usr/bin/env bash
# Does the discriminator find random clicks? Injects them into a log's train histories, judges every train interaction, and
# compares Swing on the noisy log, on what is left of it, and fused. Held-out interactions stay as they are.
# Usage: examples/paper/noise.sh DATA_DIR WORKDIR [SHARE]    (DATA_DIR holds sequences.txt and items.csv; SHARE: 0.05)
set -euo pipefail
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "Usage: examples/paper/noise.sh DATA_DIR WORKDIR [SHARE]" >&2
    exit 2
fi
data="$(realpath "$1")"
share="${3:-0.05}"
export LLMI2I_WORKDIR="$(realpath -m "$2")"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash examples/install.sh
export PATH="$PWD/.venv/bin:$PATH"
noise="$LLMI2I_WORKDIR/noise"

python examples/paper/noise.py inject "$data/sequences.txt" "$noise" --share "$share"
llmi2i prepare "$noise/sequences.txt" --items "$data/items.csv"
llmi2i sft-gen
llmi2i sft-disc
llmi2i synthesize
llmi2i filter --include-real
llmi2i train-i2i --data real

measure() { # NAME: what the fused log at hand is worth
    llmi2i train-i2i --data fused
    llmi2i evaluate --data fused --baseline real
    cp "$LLMI2I_WORKDIR/evaluate/swing-fused-test.json" "$noise/$1-test.json"
    cp "$LLMI2I_WORKDIR/fuse/manifest.json" "$noise/$1-fuse.json"
}
llmi2i fuse --include-real --recall-number 0
measure "left of it"
llmi2i fuse
measure "fused"
llmi2i fuse --include-real
measure "fused with what is left"
python examples/paper/noise.py report "$LLMI2I_WORKDIR"
