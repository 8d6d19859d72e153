# Conveniences; each calls the script or the command that CI calls too.

# Everything CI checks.
check:
    .ci/run

# The tests, with what they need.
test *ARGS:
    ./test.sh {{ARGS}}

# OBS Studio publishes, is refused, and comes back after its edge was ended. Installs it if it is missing.
obs:
    scripts/obs.sh

# VLC plays a live stream. Installs it if it is missing.
vlc:
    scripts/vlc.sh

# Both tiers in one process.
dev *ARGS:
    cargo run --release -- dev {{ARGS}}

# The load harness: fanout, idle, connect, groups, fairness or all.
load *ARGS:
    cargo bench --bench load -- {{ARGS}}

# The micro-benchmarks.
bench:
    cargo bench --bench amf --bench chunk --bench ring --bench lane

# Licences, bans and sources; needs cargo-deny.
deny:
    cargo deny check licenses bans sources

# Known vulnerabilities; needs cargo-deny and the network.
advisories:
    cargo deny check advisories

# Fuzzes one target for a minute; needs cargo-fuzz. The pinned toolchain does, told that it may.
fuzz TARGET SECONDS="60":
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{TARGET}} -- -max_total_time={{SECONDS}}
