#!/usr/bin/env bash
# Tests the alerts with promtool, and runs every query of the dashboard and of the alerts and autoscalers in
# a Prometheus that watches a running service. Both programs come from Debian's package, which is unpacked
# into target/prometheus where they are not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
    tools=
else
    tools=$target/prometheus/usr/bin/
    if [ ! -x "${tools}promtool" ]; then
        mkdir -p "$target/prometheus"
        (
            cd "$target/prometheus"
            apt-get download --quiet prometheus >/dev/null || { apt-get update --quiet >/dev/null && apt-get download --quiet prometheus >/dev/null; }
            dpkg-deb --extract prometheus_*.deb .
            rm prometheus_*.deb
        )
    fi
fi
venv=$target/venv-deploy
if ! cmp -s xtask/check-deploy/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement xtask/check-deploy/requirements.txt
    cp xtask/check-deploy/requirements.txt "$venv/requirements.txt"
fi
cargo build --quiet --package sessile-cli
folder=$(mktemp -d)
running=()
finish() {
    status=$?
    for process in "${running[@]}"; do kill "$process" 2>/dev/null; wait "$process" || true; done
    if [ "$status" -ne 0 ]; then tail -n 20 "$folder"/*.log >&2 || true; fi
    rm -rf "$folder"
    exit "$status"
}
trap finish EXIT

"$venv/bin/python" xtask/check-monitoring/check.py rules "$folder/rules.yaml"
cp deploy/monitoring/rules-test.yaml "$folder"
"${tools}promtool" check rules "$folder/rules.yaml"
"${tools}promtool" test rules "$folder/rules-test.yaml"

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
service=$(port) prometheus=$(port)
printf '[[client]]\nname = "check"\nkey = "check-key"\n' >"$folder/clients.toml"
"$target/debug/sessile" serve --model demo --host 127.0.0.1 --port "$service" --log-level error \
    --clients-file "$folder/clients.toml" 2>"$folder/service.log" &
running+=($!)
cat >"$folder/prometheus.yaml" <<YAML
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [rules.yaml]
scrape_configs:
  - job_name: sessile
    static_configs: [{ targets: ["127.0.0.1:$service"], labels: { namespace: check } }]
YAML
"${tools}prometheus" --config.file "$folder/prometheus.yaml" --storage.tsdb.path "$folder/data" \
    --web.listen-address "127.0.0.1:$prometheus" 2>"$folder/prometheus.log" &
running+=($!)
timeout 120 "$venv/bin/python" xtask/check-monitoring/check.py queries \
    "http://127.0.0.1:$service" "http://127.0.0.1:$prometheus"
