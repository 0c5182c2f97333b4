#!/usr/bin/env bash
# Compares the boosted trees with XGBoost: it loads our model files and gives the same
# probabilities, we load its files and give the same, to 1e-6; and both learn as well from the same
# rows. XGBoost is installed into target/venv-trees, in the version of
# xtask/check-trees/requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
venv=$target/venv-trees
if ! cmp -s xtask/check-trees/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement xtask/check-trees/requirements.txt
    cp xtask/check-trees/requirements.txt "$venv/requirements.txt"
fi
cargo build --quiet --package sessile-learn --example trees
trees=$(realpath "$target/debug/examples/trees")
python=$(realpath -s "$venv/bin/python")
check=$PWD/xtask/check-trees/check.py
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
OMP_NUM_THREADS=2 "$python" "$check" "$trees"
