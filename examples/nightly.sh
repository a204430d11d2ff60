#!/usr/bin/env bash
# One night: take in what is new in the log, go on from models trained before, and serve the new index if it passes the gate.
#
#   nightly.sh NIGHTS NIGHT LOG...          from cron:  30 2 * * *  nightly.sh /srv/i2i "$(date +\%F)" /data/clicks
#
# NIGHTS/NIGHT/work   where validation chooses, NIGHTS/NIGHT/serve  the same choices on the whole log (refit)
# NIGHTS/served       the last night that passed the gate; what is served is NIGHTS/served/serve/index/
# LOG...              files, or directories of them; files that were taken in before are not read again
#
# Prints one line on stdout; all else is in NIGHTS/NIGHT.log. Exit status 0: it is served, 1: the former one still is.
# Begun again after a kill or a failure, a night goes on where it stopped. llmi2i has to be on the PATH.
#
# Set in the environment, if need be:
#   PREPARE="--items catalogue.csv"  options of prepare (of the first night: later ones go on with them)
#   GENERATOR, DISCRIMINATOR, SYNTHESIZE, FILTER, FUSE  options of these stages
#   ANEW_EVERY=7   nights from one training anew to the next; those between go on from its models (1: never go on)
#   MODEL=blend                      the table to serve, on the fused log; by default llm-blend
#   GATE="--min-overlap 0.4"         options of compare, for the tables that validation has measured and for what is served
#   MIN_RECALL=0.95                  the validation Recall@10 that passes, as a multiple of last night's; by default 0.9
#   PUBLISH="command"                run with the work directory to publish before the switch, e.g. to fill a Redis
#   KEEP=7     nights to keep, besides the one that later ones go on from
set -euo pipefail

[ $# -ge 3 ] || { sed -n '4p' "${BASH_SOURCE[0]}" | cut -c5- >&2; exit 2; }
nights="$1" night="$2"
shift 2
mkdir -p "$nights"
nights="$(cd "$nights" && pwd)"
here="$nights/$night" log="$nights/$night.log"
model="${MODEL:-llm-blend}"
index="index/$model-fused.parquet"
began=$SECONDS doing="the lock"

exec 9>"$nights/.lock"
flock -n 9 || { echo "$night: not begun, another night is at work in $nights"; exit 1; }
last="$(readlink "$nights/served" || true)"

if [ "$last" = "$night" ]; then
    echo "$night: is served"
    exit 0
fi

finish() {
    status=$?
    if [ "$status" -eq 0 ]; then
        echo "$night: served after $((SECONDS - began)) s${last:+, in place of $last}"
    else
        echo "$night: failed in $doing after $((SECONDS - began)) s, ${last:-nothing} is served; see $log"
        exit 1
    fi
}
trap finish EXIT
trap 'exit 130' INT TERM

step() { # runs llmi2i, silently
    doing="$1"
    echo "== llmi2i $*" >>"$log"
    llmi2i "$@" >>"$log" 2>&1 9>&-
}

doing="copying $last"
if [ ! -d "$here" ]; then # files are replaced and never written to, so that nights can share them
    rm -rf "$nights/.begun"
    if [ -n "$last" ]; then cp -al "$nights/$last" "$nights/.begun"; else mkdir "$nights/.begun"; fi
    mv -T "$nights/.begun" "$here"
fi
export LLMI2I_WORKDIR="$here/work"

# Going on from what has gone on wears off what was learnt: until the next training anew all nights go on from the same.
doing="finding models" base="$night" age=0 from=()
if [ -f "$nights/$last/base" ]; then
    read -r last_base last_age <"$nights/$last/base"
    if [ $((last_age + 1)) -lt "${ANEW_EVERY:-7}" ]; then
        base="$last_base" age=$((last_age + 1)) from=(--from "$nights/$last_base/work")
    fi
fi
echo "$base $age" >"$here/.base"
mv "$here/.base" "$here/base"

# shellcheck disable=SC2086  # the variables hold several words
{
    step prepare "$@" --append ${PREPARE:-}
    step sft-gen "${from[@]}" ${GENERATOR:-}
    step sft-disc "${from[@]}" ${DISCRIMINATOR:-}
    step synthesize ${SYNTHESIZE:-}
    step filter ${FILTER:-}
    step fuse ${FUSE:-}
}
step train-i2i --model text --tune
step train-i2i --model bm25 --data fused --tune
step train-i2i --model next-item --tune
step train-i2i --model "$model" --data fused --tune
step evaluate --model "$model" --data fused
step evaluate --model "$model" --data fused --split valid
step export-index --model "$model" --data fused
step refit --to "$here/serve"

recall=()
if [ -n "${MIN_RECALL:-}" ]; then recall=(--min-recall "$MIN_RECALL"); fi
# shellcheck disable=SC2086
if [ -n "$last" ]; then
    step compare "$nights/$last/work" "$LLMI2I_WORKDIR" --model "$model" --data fused "${recall[@]}" ${GATE:-}
    step compare "$nights/$last/serve/$index" "$here/serve/$index" ${GATE:-}
fi
if [ -n "${PUBLISH:-}" ]; then
    doing="publishing"
    $PUBLISH "$here/serve" >>"$log" 2>&1 9>&-
fi
doing="the switch"
ln -sfn "$night" "$nights/.served"
mv -T "$nights/.served" "$nights/served" # one rename: a reader finds the former night or this one

doing="clearing up"
find "$nights" -mindepth 2 -maxdepth 2 -name work -printf '%h\n' | sort -r | tail -n "+$((${KEEP:-7} + 1))" |
    while read -r old; do
        case "$old" in "$here" | "$nights/$last" | "$nights/$base") ;; *) rm -rf "$old" "$old.log" ;; esac
    done
