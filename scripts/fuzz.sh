#!/usr/bin/env bash
# Runs fuzz targets under libFuzzer, each for so many seconds of processor time, and keeps a minimised
# corpus of each in fuzz/corpus.
#
#     scripts/fuzz.sh [SECONDS [TARGET...]]
#
# Without arguments: 600 seconds, every target. Prints one line for each target; exits with 1 if an
# input was found that a target does not hold for, and leaves that input in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-600}
shift || true
if (($#)); then
    targets=("$@")
else
    mapfile -t targets < <(cd fuzz/fuzz_targets && ls -- *.rs | sed 's/\.rs$//')
fi

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is not installed: cargo install cargo-fuzz --locked" >&2
    exit 1
fi
# The pinned toolchain is a stable one, which is told here that it may.
export RUSTC_BOOTSTRAP=1
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT

# The processor time of a process, in hundredths of a second.
spent() {
    awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat" 2>/dev/null || echo done
}

failed=0
for target in "${targets[@]}"; do
    cargo fuzz build --sanitizer none "$target" >"$log/build" 2>&1 || { cat "$log/build" >&2; exit 1; }
    binary=$(ls fuzz/target/*/release/"$target")
    corpus=fuzz/corpus/$target
    grown=$log/$target
    mkdir -p "$corpus" "$grown" "fuzz/artifacts/$target"
    "$binary" -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 -max_len=4096 \
        "$grown" "$corpus" >"$log/run" 2>&1 &
    runner=$!
    used=0
    while now=$(spent $runner) && [[ $now != done ]]; do
        used=$now
        if ((used >= seconds * 100)); then
            # It finishes the input it is at and prints its figures.
            kill -USR1 $runner
            break
        fi
        sleep 1
    done
    status=0
    wait $runner || status=$?
    runs=$(awk '/stat::number_of_executed_units/ { print $2 }' "$log/run")
    if ((status == 0)); then
        echo "$target: ${runs:-?} runs in $((used / 100)) s of processor time"
    else
        failed=1
        echo "$target: does not hold, after $((used / 100)) s" >&2
        tail -n 20 "$log/run" >&2
    fi
    # What adds nothing to what the rest reaches goes.
    least=$log/least
    rm -rf "$least" && mkdir "$least"
    "$binary" -merge=1 "$least" "$corpus" "$grown" >/dev/null 2>&1 || true
    if [[ -n $(ls -A "$least") ]]; then
        rm -rf "$corpus" && mv "$least" "$corpus"
    fi
done
exit $failed
