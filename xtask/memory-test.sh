#!/usr/bin/env bash
# Peak memory of `sessile embed` with 1,000 and with 100,000 short sequences, format by format.
#
#   cargo build --release && xtask/memory-test.sh [FEW] [MANY] [FORMAT...]
#
# Prints figures as JSON lines on standard output; fails when they differ by 10 % or more.
set -euo pipefail
cd "$(dirname "$0")/.."
few=${1:-1000} many=${2:-100000}
shift $(($# < 2 ? $# : 2))
formats=("${@:-jsonl}")
sessile=${SESSILE:-$(realpath "${CARGO_TARGET_DIR:-target}/release/sessile")}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"$sessile" models synthesize esm2_t6_8M --output model >&2
sequences() {
    awk -v n="$1" 'BEGIN {
        srand(7); letters = "ACDEFGHIKLMNPQRSTVWY"
        for (i = 1; i <= n; i++) {
            length_ = 5 + int(10 * rand()); sequence = ""
            for (j = 0; j < length_; j++) sequence = sequence substr(letters, 1 + int(20 * rand()), 1)
            print ">record_" i "\n" sequence
        }
    }'
}
sequences "$few" > few.fasta
sequences "$many" > many.fasta
failed=0
for format in "${formats[@]}"; do
    for set in few many; do
        /usr/bin/time -f %M -o "$set.peak" \
            "$sessile" embed --model model --input "$set.fasta" --output "out.$format" --quiet >&2
        rm -f out.*
    done
    few_peak=$(cat few.peak) many_peak=$(cat many.peak)
    echo "{\"format\":\"$format\",\"few\":$few,\"many\":$many,\"few_peak_kib\":$few_peak,\"many_peak_kib\":$many_peak,\"ratio\":$(awk "BEGIN { printf \"%.4f\", $many_peak / $few_peak }")}"
    [ $((many_peak * 10)) -lt $((few_peak * 11)) ] || failed=1
done
exit "$failed"
