#!/usr/bin/env bash
# Installs the test clients that no Debian package has, under target/clients: npm packages by their
# lock file, Python packages in a virtual environment. Does nothing when they are there already.
set -euo pipefail
cd "$(dirname "$0")/.."
sources=tests/clients
target=${CARGO_TARGET_DIR:-target}/clients
mkdir -p "$target"

# What is installed is what the list beside it says, which is copied last.
if ! cmp -s "$sources/npm/package-lock.json" "$target/npm/installed.json"; then
    echo "installing npm packages under $target/npm"
    mkdir -p "$target/npm"
    cp "$sources/npm/package.json" "$sources/npm/package-lock.json" "$target/npm"
    (cd "$target/npm" && npm ci --no-audit --no-fund --loglevel=error)
    cp "$sources/npm/package-lock.json" "$target/npm/installed.json"
fi

if ! cmp -s "$sources/python/requirements.txt" "$target/python/installed.txt"; then
    echo "installing Python packages under $target/python"
    python3 -m venv --clear "$target/python"
    # python-librtmp is built here, from librtmp-dev and Python's headers.
    "$target/python/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$sources/python/requirements.txt"
    cp "$sources/python/requirements.txt" "$target/python/installed.txt"
fi
