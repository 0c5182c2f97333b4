#!/usr/bin/env bash
# Fails when the release program is larger than what people want to copy around. Builds it if need be.
set -euo pipefail
cd "$(dirname "$0")/.."

most=$((35 * 1024 * 1024))

cargo build --release --quiet --package sessile-cli
program=${CARGO_TARGET_DIR:-target}/release/sessile
bytes=$(stat --format %s "$program")
printf '%s: %d.%d MiB of at most %d\n' "$program" $((bytes >> 20)) $(((bytes % 1048576) * 10 / 1048576)) $((most >> 20))
if ((bytes > most)); then
    echo "the release program has outgrown $((most >> 20)) MiB; its sections:" >&2
    size --format=sysv "$program" 2>/dev/null | sort -k2 -n -r | head -n 8 >&2
    exit 1
fi
