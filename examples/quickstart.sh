#!/usr/bin/env bash
# Install llmi2i and run the whole pipeline on a simulated shop, with the small model that is trained from scratch on the CPU.
# Takes a few minutes the first time; run again, it finds everything up to date. Usage: examples/quickstart.sh [WORKDIR]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash examples/install.sh plots

export PATH="$PWD/.venv/bin:$PATH"
export LLMI2I_WORKDIR="${1:-work/quickstart}"
shop="$LLMI2I_WORKDIR/shop"

say() { printf '\n== %s\n' "$*" >&2; }

say "A simulated shop: a log and its catalogue"
llmi2i simulate "$shop" --users 4500 --items 4000 --interactions 32000

say "prepare: clean, split, mark the long tail"
llmi2i prepare "$shop/interactions.parquet" --items "$shop/items.parquet"

say "The generator learns the users' histories, the discriminator learns to doubt it"
llmi2i sft-gen
llmi2i sft-disc

say "New interactions: proposed, judged, fused with the real log (choices made on validation)"
llmi2i synthesize
llmi2i filter
llmi2i fuse

say "The best table without an LLM: BM25 on the real log, blended with the items' texts"
llmi2i train-i2i --model bm25 --tune
llmi2i train-i2i --model text --tune
llmi2i train-i2i --model blend --tune

say "The table with it: BM25 on the fused log, the texts, and what the generator expects after each item"
llmi2i train-i2i --model bm25 --data fused --tune
llmi2i train-i2i --model next-item --tune
llmi2i train-i2i --model llm-blend --data fused --tune
llmi2i evaluate --model llm-blend --data fused --baseline blend-real

say "The index to serve"
llmi2i export-index --model llm-blend --data fused --format parquet --format jsonl

say "All of it on one page: open it in a browser"
llmi2i report
