#!/usr/bin/env bash
# Kills `sessile embed` with SIGKILL again and again and compares what comes out in the end with an
# undisturbed run, byte for byte, in every format.
#
#   cargo build --release && xtask/kill-test.sh [SEQUENCES] [KILLS] [SEED]
#
# Prints figures as JSON lines on standard output; fails when an output differs.
set -euo pipefail
cd "$(dirname "$0")/.."
sequences=${1:-20000} kills=${2:-10} RANDOM=${3:-1}
sessile=${SESSILE:-$(realpath "${CARGO_TARGET_DIR:-target}/release/sessile")}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"$sessile" models synthesize esm2_t6_8M --output model >&2
awk -v n="$sequences" 'BEGIN {
    srand(7); letters = "ACDEFGHIKLMNPQRSTVWY"
    for (i = 1; i <= n; i++) {
        length_ = 10 + int(40 * rand()); sequence = ""
        for (j = 0; j < length_; j++) sequence = sequence substr(letters, 1 + int(20 * rand()), 1)
        print ">record_" i "\n" sequence
    }
}' > in.fasta

formats=(jsonl parquet h5)
run() { # folder for the outputs
    local outputs=()
    for format in "${formats[@]}"; do outputs+=(--output "$1/out.$format"); done
    exec "$sessile" embed --model model --input in.fasta --outputs mean --json-progress \
        "${outputs[@]}" 2> "$1/log"
}
summary() { grep '"event":"summary"' "$1/log"; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }

mkdir whole killed
begun=$(milliseconds)
(run whole)
whole=$(($(milliseconds) - begun))
echo "{\"run\":\"undisturbed\",\"sequences\":$sequences,\"milliseconds\":$whole}"
summary whole

for ((kill = 1; kill <= kills; kill++)); do
    # Together about three quarters of a whole run, so that all kills come before its end.
    after=$((RANDOM * 32768 + RANDOM))
    after=$((after % (whole * 3 / 2 / kills)))
    (run killed) &
    process=$!
    sleep "$((after / 1000)).$(printf %03d $((after % 1000)))"
    kill -KILL "$process" 2> /dev/null && state=killed || state=finished
    wait "$process" 2> /dev/null || true
    bytes=$(stat -c %s killed/out.jsonl.journal 2> /dev/null || echo 0)
    echo "{\"kill\":$kill,\"after_milliseconds\":$after,\"state\":\"$state\",\"journal_bytes\":$bytes}"
    if [ "$state" = finished ]; then
        echo "the run was over before it was killed $kills times" >&2
        exit 1
    fi
done
begun=$(milliseconds)
(run killed)
echo "{\"run\":\"last\",\"milliseconds\":$(($(milliseconds) - begun))}"
summary killed
for format in "${formats[@]}"; do
    cmp "whole/out.$format" "killed/out.$format"
    echo "{\"same\":\"$format\",\"bytes\":$(stat -c %s "whole/out.$format"),\"sha256\":\"$(sha256sum < "whole/out.$format" | cut -c1-64)\"}"
done
left=$(ls -A killed | grep -v -e '^out\.[a-z0-9]*$' -e '^log$' || true)
if [ -n "$left" ]; then
    echo "left behind: $left" >&2
    exit 1
fi
