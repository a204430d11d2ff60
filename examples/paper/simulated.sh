#!/usr/bin/env bash
# Table 3 on a simulated shop: split by days, a quarter of its items bought once, Recall and NDCG down to 200 items.
# Usage: examples/paper/simulated.sh STUDY SEED
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "Usage: examples/paper/simulated.sh STUDY SEED" >&2
    exit 2
fi
mkdir -p "$1"
study="$(realpath "$1")"
seed="$2"
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/settings.sh"
cd "$study"
measured_at=(--k 5 --k 10 --k 20 --k 50 --k 100 --k 200)

say "A shop, and what its language models propose"
llmi2i simulate shop --users 12000 --items 18000 --interactions 60000 --seed "$seed"
llmi2i prepare shop/interactions.parquet --items shop/items.parquet --split last-day --tail-max-count 1 -w base
llmi2i sft-gen --seed "$seed" -w base
llmi2i sft-disc --seed "$seed" -w base
llmi2i synthesize -w base
llmi2i filter -w base

say "Every backbone on the real log and on the fused one"
for model in swing bm25 bpr youtubednn; do
    tuned base "$model" real
done
begin llm-i2i base prepare filter
llmi2i fuse --model swing -w llm-i2i
for model in swing bm25 bpr youtubednn; do
    tuned llm-i2i "$model" fused
done
