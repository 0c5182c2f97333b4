#!/usr/bin/env bash
# Fails when a crate depends on one that lies above it, as docs/architecture.md draws the house.
set -euo pipefail
cd "$(dirname "$0")/.."
allowed() {
    case "$1" in
        sessile-seq | sessile-device) echo "" ;;
        sessile-cpu | sessile-cuda | sessile-models) echo "sessile-device" ;;
        sessile-runtime) echo "sessile-device sessile-cpu sessile-cuda sessile-models" ;;
        sessile-pipelines) echo "sessile-device sessile-models sessile-runtime sessile-seq" ;;
        sessile-learn) echo "sessile-device sessile-models sessile-pipelines sessile-seq" ;;
        sessile-reports) echo "sessile-pipelines sessile-seq" ;;
        sessile-server) echo "sessile-device sessile-models sessile-runtime sessile-seq" ;;
        sessile) echo "sessile-device sessile-models sessile-runtime sessile-pipelines sessile-seq" ;;
        sessile-cli) echo "sessile sessile-device sessile-cpu sessile-learn sessile-models sessile-runtime sessile-pipelines sessile-reports sessile-server sessile-seq" ;;
        sessile-python) echo "sessile sessile-cli" ;;
        *) echo "unknown" ;;
    esac
}
failed=0
for crate in $(basename --multiple crates/*) sessile-python; do
    uses=$(cargo tree --quiet --package "$crate" --all-features --edges normal --depth 1 --prefix none --format '{p}' |
        tail -n +2 | awk '{print $1}' | grep '^sessile' | sort -u || true)
    for use in $uses; do
        if ! [[ " $(allowed "$crate") " == *" $use "* ]]; then
            echo "$crate must not depend on $use" >&2
            failed=1
        fi
    done
    echo "$crate -> ${uses//$'\n'/ }"
done
exit "$failed"
