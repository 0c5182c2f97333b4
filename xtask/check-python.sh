#!/usr/bin/env bash
# Builds the Python package, installs it into a fresh virtual environment and tests it there: the
# bytes of the command line from three lines of Python, its own suite (with Ray on two nodes), types,
# the notebook, the conda recipe. What the tests need is installed into target/venv-python, in the
# versions of python/tests/requirements.txt. With a wheel as argument, that is tested and none built;
# with --portable it is built for glibc 2.28 by zig, which shares no object with the release program.
set -euo pipefail
cd "$(dirname "$0")/.."

build_limit=3000  # seconds: a release build from nothing on two busy cores
test_limit=1800
most=$((25 * 1000 * 1000))  # bytes of a wheel

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
venv=$target/venv-python
wanted=$(cat python/tests/requirements.txt xtask/check-python/requirements.txt)
if [ "$wanted" != "$(cat "$venv/wanted.txt" 2>/dev/null)" ]; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement python/tests/requirements.txt --requirement xtask/check-python/requirements.txt
    printf '%s\n' "$wanted" >"$venv/wanted.txt"
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ "${1:-}" = --portable ]; then
    portable=(--zig --compatibility manylinux_2_28)
    shift
fi
if [ $# -gt 0 ]; then
    cp "$1" "$folder"
else
    PATH=$venv/bin:$PATH timeout "$build_limit" "$venv/bin/maturin" build --release --quiet --locked \
        ${portable[@]+"${portable[@]}"} --manifest-path python/Cargo.toml --out "$folder"
    mkdir -p "$target/wheels"
    cp "$folder"/*.whl "$target/wheels"
fi
wheel=$(echo "$folder"/*.whl)
bytes=$(stat --format %s "$wheel")
printf '%s: %d.%d MB of at most %d\n' "$(basename "$wheel")" \
    $((bytes / 1000000)) $((bytes / 100000 % 10)) $((most / 1000000))
if ((bytes > most)); then
    echo "the wheel has outgrown $((most / 1000000)) MB" >&2
    exit 1
fi

echo "-- an empty environment"
python3 -m venv "$folder/empty"
"$folder/empty/bin/pip" install --quiet --disable-pip-version-check "$wheel"
"$folder/empty/bin/sessile" --version
"$folder/empty/bin/sessile" embed --quiet --model demo --input examples/proteins.fasta \
    --output "$folder/command.npy"
"$folder/empty/bin/python" - "$folder" <<'PYTHON'
import sys
import numpy
import sessile
vectors = sessile.Model("demo").embed("examples/proteins.fasta").vectors
wanted = numpy.load(sys.argv[1] + "/command.npy")
assert vectors.tobytes() == wanted.tobytes(), "vectors differ from those of the command"
print(f"{vectors.shape} vectors equal to the bytes of the command")
PYTHON

echo "-- tests"
"$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"
export SESSILE_GOLDEN=$PWD/tests/golden RAY_DEDUP_LOGS=0 RAY_USAGE_STATS_ENABLED=0
cp -r python/tests "$folder/tests"
(cd "$folder/tests" && timeout "$test_limit" "$venv/bin/python" -m pytest -q --durations=5 .)
(cd "$folder/tests" && "$venv/bin/python" -m pytest -q --doctest-modules --pyargs sessile)

echo "-- types"
# The installed package, as users see it, from outside of its sources.
cp python/pyproject.toml examples/python/*.py "$folder"
(cd "$folder" && "$venv/bin/mypy" --config-file pyproject.toml --strict -p sessile)
(cd "$folder" && "$venv/bin/mypy" --config-file pyproject.toml --strict ./*.py tests)
(cd "$folder" && "$venv/bin/python" -m mypy.stubtest sessile._native)

echo "-- the example and the notebook"
"$venv/bin/python" examples/python/embed_and_compare.py examples/proteins.fasta
"$venv/bin/python" xtask/check-python/notebook.py examples/notebooks/sessile.ipynb

echo "-- the conda recipe"
"$venv/bin/python" xtask/check-python/recipe.py deploy/conda/meta.yaml Cargo.toml
