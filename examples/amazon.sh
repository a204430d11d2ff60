#!/usr/bin/env bash
# All nine stages on a folder with sequences.txt and items.csv; every backbone, real beside fused.
# Usage: examples/amazon.sh DATA_DIR WORKDIR
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "Usage: examples/amazon.sh DATA_DIR WORKDIR" >&2
    exit 2
fi
data="$(realpath "$1")"
export LLMI2I_WORKDIR="$(realpath -m "$2")"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash examples/install.sh
export PATH="$PWD/.venv/bin:$PATH"

llmi2i prepare "$data/sequences.txt" --items "$data/items.csv"
llmi2i sft-gen
llmi2i sft-disc
llmi2i synthesize
llmi2i filter
llmi2i fuse
llmi2i train-i2i --model text --tune
llmi2i evaluate --model text
for model in swing bm25 blend bpr youtubednn; do
    for log in real fused; do
        llmi2i train-i2i --model "$model" --data "$log" --tune
    done
    llmi2i evaluate --model "$model" --data fused --baseline real
done
llmi2i evaluate --model generator
llmi2i export-index --model blend --data fused --format parquet --format jsonl --format mmap
llmi2i status
