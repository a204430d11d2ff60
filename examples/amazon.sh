#!/usr/bin/env bash
# All nine stages on a folder with sequences.txt and items.csv; every backbone, real beside fused;
# ends with a table of what each step is worth.
# Usage: examples/amazon.sh DATA_DIR WORKDIR [SEED]
set -euo pipefail
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "Usage: examples/amazon.sh DATA_DIR WORKDIR [SEED]" >&2
    exit 2
fi
data="$(realpath "$1")"
export LLMI2I_WORKDIR="$(realpath -m "$2")"
seed="${3:-42}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash examples/install.sh
export PATH="$PWD/.venv/bin:$PATH"

llmi2i prepare "$data/sequences.txt" --items "$data/items.csv"
llmi2i sft-gen --seed "$seed"
llmi2i sft-disc --seed "$seed"
llmi2i synthesize
llmi2i filter
llmi2i fuse
for model in text next-item; do
    llmi2i train-i2i --model "$model" --tune
    llmi2i evaluate --model "$model"
done
for model in bm25 blend llm-blend swing bpr youtubednn; do
    case "$model" in bpr | youtubednn) options=(--seed "$seed") ;; *) options=() ;; esac
    for log in real fused; do
        llmi2i train-i2i --model "$model" --data "$log" --tune "${options[@]}"
    done
    llmi2i evaluate --model "$model" --data real
    llmi2i evaluate --model "$model" --data fused --baseline real
done
llmi2i evaluate --model generator
llmi2i export-index --model llm-blend --data fused --format parquet --format jsonl --format mmap
llmi2i status
python examples/paper/table.py "$(basename "$data")=$LLMI2I_WORKDIR"
