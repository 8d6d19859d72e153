#!/usr/bin/env bash
# Runs fuzz targets under libFuzzer, each for so many seconds of processor time, and keeps the least
# inputs that reach what all of them reach in fuzz/corpora, one in hexadecimal on each line.
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
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Inputs longer than this are not kept: what they reach, shorter ones nearly always reach too.
longest=256

# A file of inputs, one on each line, as a directory of files; and back.
unpack() {
    python3 -c 'import pathlib, sys
for number, line in enumerate(open(sys.argv[1])):
    pathlib.Path(sys.argv[2], str(number)).write_bytes(bytes.fromhex(line))' "$1" "$2"
}
pack() {
    python3 -c 'import pathlib, sys
inputs = sorted({path.read_bytes() for path in pathlib.Path(sys.argv[1]).iterdir()}, key=lambda b: (len(b), b))
print("\n".join(data.hex() for data in inputs))' "$1" >"$2"
}

# The processor time of a process, in hundredths of a second.
spent() {
    awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat" 2>/dev/null || echo done
}

failed=0
for target in "${targets[@]}"; do
    cargo fuzz build --sanitizer none "$target" >"$work/build" 2>&1 || {
        cat "$work/build" >&2
        exit 1
    }
    binary=$(ls fuzz/target/*/release/"$target")
    kept=fuzz/corpora/$target.txt
    inputs=$work/$target
    mkdir -p "$inputs" fuzz/corpora "fuzz/artifacts/$target"
    if [[ -s $kept ]]; then
        unpack "$kept" "$inputs"
    fi
    "$binary" -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 -max_len=4096 \
        "$inputs" >"$work/run" 2>&1 &
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
    runs=$(awk '/stat::number_of_executed_units/ { print $2 }' "$work/run")
    if ((status == 0)); then
        echo "$target: ${runs:-?} runs in $((used / 100)) s of processor time"
    else
        failed=1
        echo "$target: does not hold, after $((used / 100)) s" >&2
        tail -n 20 "$work/run" >&2
    fi
    least=$work/least
    rm -rf "$least" && mkdir "$least"
    "$binary" -set_cover_merge=1 -max_len=$longest "$least" "$inputs" >/dev/null 2>&1 || true
    if [[ -n $(ls -A "$least") ]]; then
        pack "$least" "$kept"
    fi
done
exit $failed
