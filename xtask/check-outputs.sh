#!/usr/bin/env bash
# Reads what `sessile embed` writes with the libraries that people read it with: pandas and pyarrow,
# h5py, safetensors, NumPy. They are installed into target/venv-outputs, in the versions of
# xtask/check-outputs/requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
venv=$target/venv-outputs
if ! cmp -s xtask/check-outputs/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement xtask/check-outputs/requirements.txt
    cp xtask/check-outputs/requirements.txt "$venv/requirements.txt"
fi
cargo build --quiet --package sessile-cli
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sessile=$(realpath "$target/debug/sessile")
python=$(realpath -s "$venv/bin/python")
check=$PWD/xtask/check-outputs/check.py
cd "$folder"
awk 'BEGIN {
    srand(3); letters = "ACDEFGHIKLMNPQRSTVWY"
    for (i = 1; i <= 300; i++) {
        length_ = 1 + int(40 * rand()); sequence = ""
        for (j = 0; j < length_; j++) sequence = sequence substr(letters, 1 + int(20 * rand()), 1)
        print ">sp|P" i "/x\n" sequence
    }
    print ">twice\nMKV\n>twice\nMKVA"
}' > in.fasta
outputs=()
for format in jsonl parquet h5 safetensors npz; do outputs+=(--output "out.$format"); done
"$sessile" embed --quiet --model demo --input in.fasta "${outputs[@]}" \
    --outputs mean,per_residue,logits,contacts,likelihood
"$sessile" embed --quiet --model demo --input in.fasta --output out.npy
# More than one node of HDF5's tree takes (64 names a leaf, 128 leaves a node).
awk 'BEGIN { for (i = 1; i <= 9000; i++) print ">r" i "\nMK" }' > many.fasta
"$sessile" embed --quiet --model demo --input many.fasta --output many.h5
"$python" "$check"
