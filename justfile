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

# Every publisher with every player over every transport, as a table; takes some two minutes.
square:
    cargo test --profile ci --locked --test e2e -- --ignored --nocapture every_publisher_with_every_player_over_every_transport

# The simulation of an edge whose origin's process dies, over 10,000 seeds.
restoring:
    cargo test --profile ci --locked -p tributary-protocol --lib -- --ignored --nocapture sessions_go_on_ten_thousand_times

# The simulation of a cluster, over 10,000 seeds.
cluster:
    cargo test --profile ci --locked -p tributary-protocol --lib -- --ignored --nocapture one_origin_has_each_group_over_ten_thousand_seeds

# Both tiers in one process.
dev *ARGS:
    cargo run --release -- dev {{ARGS}}

# The load harness: a scenario of docs/performance.md, or all.
load *ARGS:
    cargo bench --bench load -- {{ARGS}}

# An edge is replaced 50 times under its clients: 500 connects a second, 200 publishers, 2,000 viewers.
replace *ARGS:
    cargo bench --bench load -- replace {{ARGS}}

# An origin is killed 50 times under its sessions and starts again after a second.
restore *ARGS:
    cargo bench --bench load -- restore {{ARGS}}

# 100,000 idle sessions whose origin is killed, or drained with --drains.
crowd *ARGS:
    cargo bench --bench load -- crowd {{ARGS}}

# A hundred moves, of which one end is killed at some moment.
movers:
    cargo test --profile ci --test e2e -- --ignored --nocapture a_hundred_moves

# All kinds of things happen to a cluster; SEED and ROUNDS are variables.
trouble:
    cargo test --profile ci --test e2e -- --ignored --nocapture whatever_happens

# Origins are drained 50 times under their clients.
drains:
    cargo test --profile ci --test e2e -- --ignored --nocapture fifty_drains

# Nodes of this version beside nodes of an older commit, which it builds.
upgrade COMMIT:
    scripts/upgrade.sh {{COMMIT}}

# Two groups move 50 times between two origins under their sessions.
move *ARGS:
    cargo bench --bench load -- move {{ARGS}}

# The micro-benchmarks.
bench:
    cargo bench --bench amf --bench chunk --bench ring --bench lane

# Licences, bans and sources; needs cargo-deny.
deny:
    cargo deny check licenses bans sources

# Known vulnerabilities; needs cargo-deny and the network.
advisories:
    cargo deny check advisories

# Fuzzes targets, all of them if none is named, each for so much processor time; needs cargo-fuzz.
fuzz SECONDS="60" *TARGETS:
    scripts/fuzz.sh {{SECONDS}} {{TARGETS}}
