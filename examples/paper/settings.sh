# What the studies share: work directories that begin with finished stages of another one. To be sourced; runs in STUDY.

say() { printf '\n== %s\n' "$*" >&2; }

# begin SETTING OTHER STAGE...: SETTING has these stages as OTHER has them, as hard links, so nothing is made or stored twice.
begin() {
    local setting="$1" other="$2" stage
    mkdir -p "$setting"
    for stage in "${@:3}"; do
        rm -rf "${setting:?}/$stage"
        cp -al "$other/$stage" "$setting/$stage"
    done
}

# take SETTING OTHER STAGE/NAME...: the same with single results, such as i2i/swing-real.
take() {
    local setting="$1" other="$2" result
    for result in "${@:3}"; do
        mkdir -p "$setting/${result%/*}"
        cp -alf "$other/$result".* "$setting/${result%/*}/"
    done
}

measured_at=(--k 5 --k 10) # as the paper's tables for public logs

# tuned SETTING MODEL DATA: train with options that validation chooses, and measure.
tuned() {
    local options=()
    case "$2" in bpr | youtubednn) options=(--seed "$seed") ;; esac
    llmi2i train-i2i --model "$2" --data "$3" --tune "${options[@]}" -w "$1"
    llmi2i evaluate --model "$2" --data "$3" "${measured_at[@]}" -w "$1"
}

# as_the_paper SETTING MODEL DATA: the same table by the paper's protocol: one recent item, seen items kept.
as_the_paper() {
    local setting="$1" model="$2" data="$3" here="$1/as-the-paper" options=(--recent 1 --decay 1)
    begin "$here" "$setting" prepare
    case "$model" in
        generator) begin "$here" "$setting" sft-gen && options=(--recent 10) ;; # the paper shows it ten
        *) take "$here" "$setting" "i2i/$model-$data" ;;
    esac
    case "$model" in youtubednn) options=() ;; esac # ranks by users' vectors
    llmi2i evaluate --model "$model" --data "$data" --keep-seen "${options[@]}" -w "$here"
}

# fused SETTING SOURCE JUDGE [OPTIONS]: candidates of SOURCE, fused as JUDGE likes best on validation; JUDGE trained on that.
fused() {
    local setting="$1" source="$2" judge="$3"
    begin "$setting" base prepare
    begin "$setting" "$source" filter
    take "$setting" base i2i/{bm25,text,blend,swing}-real
    llmi2i fuse --model "$judge" "${@:4}" -w "$setting"
    if [ "$judge" = blend ]; then tuned "$setting" bm25 fused; fi
    tuned "$setting" "$judge" fused
}
