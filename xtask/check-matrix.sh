#!/usr/bin/env bash
# Compares tiny checkpoints, as several versions of transformers save them, with what each version
# makes of its own. They are kept in tests/golden/matrix; `xtask/check-matrix.sh make` makes them
# anew, with every version from the package registry below target/matrix.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = make ]; then
    target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/matrix
    python3 -m venv "$target/venv"
    pip=("$target/venv/bin/pip" install --quiet --disable-pip-version-check)
    "${pip[@]}" torch safetensors
    for version in 4.30.2 4.46.3 4.57.1; do
        "${pip[@]}" --target "$target/$version" "transformers==$version"
        PYTHONPATH=$target/$version "$target/venv/bin/python" xtask/check-matrix/make.py tests/golden/matrix
    done
fi
cargo test --package sessile-runtime --test integration -- --nocapture checkpoint_matrix
