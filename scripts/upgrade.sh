#!/usr/bin/env bash
# Tests nodes of this version beside nodes of an older one: scripts/upgrade.sh COMMIT. It builds the older program in a
# work tree of its own below target.
set -euo pipefail
cd "$(dirname "$0")/.."

commit=$(git rev-parse --short "${1:?the commit of an older version}")
tree=$PWD/target/older/$commit
if [[ ! -d $tree ]]; then
    git worktree add --detach "$tree" "$commit"
fi
(cd "$tree" && cargo build --profile ci --locked)
OLDER=$tree/target/ci/tributary cargo test --profile ci --locked --test e2e -- --ignored --nocapture versions_mix
git worktree remove --force "$tree"
