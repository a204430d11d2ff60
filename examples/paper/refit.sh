#!/usr/bin/env bash
# What it is worth to train once more with validation's interactions in train, by test: refits WORKDIR, on which all stages have
# run, to train and valid, and measures both. Usage: examples/paper/refit.sh WORKDIR REFITTED
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "Usage: examples/paper/refit.sh WORKDIR REFITTED" >&2
    exit 2
fi
work="$(realpath "$1")"
refitted="$(realpath -m "$2")"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash examples/install.sh
export PATH="$PWD/.venv/bin:$PATH"

measure() { # WORKDIR
    for model in blend bm25 swing; do
        for log in real fused; do
            llmi2i evaluate --model "$model" --data "$log" -w "$1"
        done
    done
}
measure "$work"
llmi2i refit -w "$work" --to "$refitted" --to-split valid
measure "$refitted"
python examples/paper/refit.py "$work" "$refitted"
