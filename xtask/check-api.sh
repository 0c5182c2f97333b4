#!/usr/bin/env bash
# Runs the service and has schemathesis look for what does not fit its own description
# (/openapi.json): statuses, types, fields, what should be refused and is not, and the other way
# round. It is installed into target/venv-api, in the version of xtask/check-api/requirements.txt.
# SECONDS_OF_CHECKS (50) says for how long, SEED (1) which requests.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
venv=$target/venv-api
if ! cmp -s xtask/check-api/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement xtask/check-api/requirements.txt
    cp xtask/check-api/requirements.txt "$venv/requirements.txt"
fi
cargo build --quiet --package sessile-cli
folder=$(mktemp -d)
service=
finish() {
    status=$?
    if [ -n "$service" ]; then kill "$service" 2>/dev/null; wait "$service" || true; fi
    if [ "$status" -ne 0 ]; then tail -n 20 "$folder/service.log" >&2 || true; fi
    rm -rf "$folder"
    exit "$status"
}
trap finish EXIT

schemathesis=$(realpath -s "$venv/bin/schemathesis")
config=$PWD/xtask/check-api/schemathesis.toml
hooks=$PWD/xtask/check-api/hooks.py
# The settings of the manifests, as far as no flag says otherwise.
while IFS= read -r setting; do export "${setting?}"; done <deploy/kubernetes/base/settings.env

# Serves a model and checks for so many seconds: MODEL SECONDS, and which paths.
check() {
    local model=$1 seconds=$2 port url
    shift 2
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    url=http://127.0.0.1:$port
    "$target/debug/sessile" serve --model "$model" --host 127.0.0.1 --port "$port" \
        --max-sequence-length 256 --max-items 512 --log-level error 2>"$folder/service.log" &
    service=$!
    python3 - "$url/health/ready" <<'PYTHON'
import sys, time, urllib.request
for _ in range(600):
    try:
        urllib.request.urlopen(sys.argv[1], timeout=5)
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("the service did not become ready within a minute")
PYTHON
    # What the container image asks itself.
    PORT=$port bash deploy/docker/healthcheck.sh
    if PORT=1 bash deploy/docker/healthcheck.sh 2>/dev/null; then exit 1; fi
    (
        cd "$folder"
        export SCHEMATHESIS_HOOKS=$hooks
        timeout "$((seconds + 60))" "$schemathesis" --config-file "$config" run "$url/openapi.json" \
            --max-examples 30 --max-time "$seconds" --seed "${SEED:-1}" \
            --continue-on-failure --suppress-health-check all "$@" >report.txt 2>&1
    ) || {
        cut -c 1-600 "$folder/report.txt" >&2
        exit 1
    }
    tail -n 12 "$folder/report.txt"
    # What it was asked did not harm it, and it stops as it should.
    kill -TERM "$service"
    wait "$service"
    service=
}

check demo "${SECONDS_OF_CHECKS:-50}"
# A model with a head for 3Di, and one that writes.
check tests/golden/prostt5/tiny 10 --include-path /v1/three-di
check tests/golden/bart/tiny 20 --include-path /v1/summarize --include-path /v1/generate
