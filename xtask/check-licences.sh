#!/usr/bin/env bash
# Licences, sources and bans of all crates that are built in, by cargo-deny as deny.toml says; and
# known faults (advisories) where their database can be had. cargo-deny is built from crates.io when
# it is not there, which takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
build_limit=900    # seconds
network_limit=60

if ! cargo deny --version >/dev/null 2>&1; then
    echo "cargo-deny is not there: building $version"
    if ! timeout "$build_limit" cargo install --debug --quiet --locked "cargo-deny@$version"; then
        echo "SKIPPED: licences, sources, bans and advisories: cargo-deny $version cannot be built here" >&2
        exit 0
    fi
fi

cargo fetch --locked --quiet
cargo deny --offline --locked check licenses bans sources

if timeout "$network_limit" cargo deny --locked fetch db >/dev/null 2>&1; then
    cargo deny --offline --locked check advisories
else
    echo "SKIPPED: advisories: the database of known faults cannot be reached"
fi
