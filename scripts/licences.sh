#!/usr/bin/env bash
# Where cargo-deny is not installed: every dependency comes from crates.io and offers a licence
# that deny.toml allows.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo metadata --format-version 1 --locked --filter-platform x86_64-unknown-linux-gnu | python3 -c '
import json, re, sys, tomllib

with open("deny.toml", "rb") as file:
    deny = tomllib.load(file)
allowed = set(deny["licenses"]["allow"])
bad = []
packages = json.load(sys.stdin)["packages"]
for package in packages:
    name = "{name} {version}".format(**package)
    source = package["source"]
    if source is not None and "registry+" not in source:
        bad.append(f"{name}: comes from {source}")
    expression = (package["license"] or "").replace("/", " OR ")
    alternatives = re.split(r"\s+OR\s+", expression.replace("(", " ").replace(")", " "))
    def holds(alternative):
        return all(part.strip() in allowed for part in re.split(r"\s+AND\s+", alternative))
    if not any(holds(alternative) for alternative in alternatives):
        bad.append(f"{name}: licence {expression!r}")
print("\n".join(bad) or f"{len(packages)} packages, every licence allowed")
sys.exit(bool(bad))
'
