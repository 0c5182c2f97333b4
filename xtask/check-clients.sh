#!/usr/bin/env bash
# Asks a running service with the clients that people have: OpenAI's for HTTP; grpcio with stubs made of our
# descriptions, reflection and health, and Triton's client for gRPC; pyarrow for numbers as they are. They
# are installed into target/venv-clients, in the versions of xtask/check-clients/requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
venv=$target/venv-clients
if ! cmp -s xtask/check-clients/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement xtask/check-clients/requirements.txt
    cp xtask/check-clients/requirements.txt "$venv/requirements.txt"
fi
cargo build --quiet --package sessile-cli
folder=$(mktemp -d)
services=()
finish() {
    status=$?
    for service in "${services[@]}"; do kill "$service" 2>/dev/null; wait "$service" || true; done
    if [ "$status" -ne 0 ]; then tail -n 20 "$folder"/*.log >&2 || true; fi
    rm -rf "$folder"
    exit "$status"
}
trap finish EXIT
"$venv/bin/python" -m grpc_tools.protoc --proto_path crates/sessile-server/proto \
    --python_out "$folder" --grpc_python_out "$folder" sessile.proto

# NAME MODEL...: starts a service and prints where it is.
serve() {
    local name=$1 port
    shift
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    SESSILE_API_KEYS=clients-key "$target/debug/sessile" serve --model "$@" --host 127.0.0.1 \
        --port "$port" --log-level warning 2>"$folder/$name.log" &
    services+=($!)
    echo "127.0.0.1:$port" >"$folder/$name.address"
}
serve reads demo tests/golden/prostt5/tiny
serve writes tests/golden/bart/tiny
PYTHONPATH=$folder timeout 300 "$venv/bin/python" xtask/check-clients/check.py \
    "$(cat "$folder/reads.address")" "$(cat "$folder/writes.address")"
