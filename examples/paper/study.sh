#!/usr/bin/env bash
# Everything that RESULTS.md tells of one log with one seed: a list of llmi2i commands over work directories that differ in
# one thing each. Every stage finds for itself what is up to date, so a killed study goes on, and a second one does nothing.
# Usage: [BACKBONES="swing bm25 bpr youtubednn"] examples/paper/study.sh DATA_DIR STUDY SEED
# DATA_DIR holds sequences.txt and items.csv; STUDY/NAME are the work directories; BACKBONES are those of Table 2,
# swing and bm25 among them.
set -euo pipefail
if [ $# -ne 3 ]; then
    echo "Usage: examples/paper/study.sh DATA_DIR STUDY SEED" >&2
    exit 2
fi
data="$(realpath "$1")"
mkdir -p "$2"
study="$(realpath "$2")"
seed="$3"
here="$(dirname "$(realpath "${BASH_SOURCE[0]}")")"
source "$here/settings.sh"
cd "$study"
read -ra backbones <<<"${BACKBONES:-swing bm25 bpr youtubednn}"
unfiltered=(--order rank --min-confidence 0 --weight one) # the number of candidates is all that is tuned

say "The language models, and what they propose"
llmi2i prepare "$data/sequences.txt" --items "$data/items.csv" -w base
llmi2i sft-gen --seed "$seed" -w base
llmi2i sft-disc --seed "$seed" -w base
llmi2i synthesize -w base
llmi2i filter --include-real -w base
llmi2i evaluate --model generator -w base
as_the_paper base generator real

say "The real log alone: every model, and every model with the items' texts"
llmi2i train-i2i --model text --tune -w base
llmi2i evaluate --model text -w base
for model in "${backbones[@]}" itemknn rp3beta ease blend next-item llm-blend; do
    tuned base "$model" real
done
for model in "${backbones[@]}" blend; do
    as_the_paper base "$model" real
done
for model in swing itemknn rp3beta ease; do
    begin "$model+text" base prepare
    take "$model+text" base "i2i/$model-real" i2i/text-real
    llmi2i train-i2i --model blend --parts "$model,text" --tune -w "$model+text"
    llmi2i evaluate --model blend -w "$model+text"
done

say "The paper's tables: ways to fuse are judged by Swing, which is what its ablation serves"
fused llm-i2i base swing
fused no-generator base swing --include-real --recall-number 0
fused no-discriminator base swing "${unfiltered[@]}"
fused no-threshold base swing --order rank --min-confidence 0.5 --weight one
begin llm-cf base prepare sft-gen sft-disc
llmi2i synthesize --method llm-cf -w llm-cf
llmi2i filter -w llm-cf
fused llm-cf-unfiltered llm-cf swing "${unfiltered[@]}"
for setting in llm-i2i llm-cf-unfiltered; do
    for model in "${backbones[@]}"; do
        tuned "$setting" "$model" fused
        as_the_paper "$setting" "$model" fused
    done
done
for setting in no-generator no-discriminator no-threshold; do
    as_the_paper "$setting" swing fused
done

say "The sceptic's: the same filter and the same fuse, fed by others"
for source in table random another-user; do
    begin "$source" base prepare sft-disc
    python "$here/sources.py" "$source" base "$source/synthesize/candidates.parquet"
    llmi2i filter -w "$source"
done
fused served base blend
take served base i2i/next-item-real
tuned served llm-blend fused
fused no-discriminator-blend base blend "${unfiltered[@]}"
for source in table random another-user llm-cf; do
    fused "$source-swing" "$source" swing
    fused "$source-blend" "$source" blend
done

say "Other generators: without the long-tail loss, and one that reads no text"
begin no-long-tail-loss base prepare sft-disc
llmi2i sft-gen --alpha 1 --seed "$seed" -w no-long-tail-loss
llmi2i synthesize -w no-long-tail-loss
llmi2i filter -w no-long-tail-loss
fused no-long-tail-loss-fused no-long-tail-loss swing
as_the_paper no-long-tail-loss-fused swing fused

mkdir -p no-text
python "$here/without_text.py" "$data/items.csv" no-text/items.csv
llmi2i prepare "$data/sequences.txt" --items no-text/items.csv -w no-text
llmi2i sft-gen --seed "$seed" -w no-text
llmi2i synthesize -w no-text
begin text-free base prepare sft-disc
begin text-free no-text synthesize
llmi2i filter -w text-free
fused text-free-swing text-free swing
fused text-free-blend text-free blend

say "What is served, by three protocols: ours, as the paper, and every choice again on train and validation"
begin served base sft-gen sft-disc synthesize
tuned served swing fused
for model in blend bm25 swing; do
    take served base "evaluate/$model-real-test"
    as_the_paper served "$model" fused
done
llmi2i refit -w served --to refitted --to-split valid
for model in blend bm25 swing; do
    for log in real fused; do
        llmi2i evaluate --model "$model" --data "$log" -w refitted
    done
done
