#!/usr/bin/env bash
# Shows that VLC plays a live stream and finds its tracks and no others. VLC refuses to run as root: for root it runs as
# `nobody`. The program is $TRIBUTARY, or is built.
set -euo pipefail
cd "$(dirname "$0")/.."

directory=$(mktemp -d)
server=

clean_up() {
    local status=$?
    if [[ -n $server ]]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$directory"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

if ! command -v cvlc >/dev/null || ! ls /usr/lib/*/vlc/plugins/access/libavio_plugin.so >/dev/null 2>&1; then
    install=(apt-get install -y --no-install-recommends vlc-bin vlc-plugin-base)
    [[ $(id -u) == 0 ]] || fail "VLC is not installed. Run: sudo ${install[*]}"
    echo "installing: VLC"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive "${install[@]}" </dev/null >/dev/null
fi
tributary=${TRIBUTARY:-}
if [[ -z $tributary ]]; then
    cargo build --release --locked
    tributary=${CARGO_TARGET_DIR:-target}/release/tributary
fi
tributary=$(realpath "$tributary")
echo "$(dpkg-query -W -f '${Package} ${Version}' vlc-bin 2>/dev/null || echo VLC), $("$tributary" --version)"

# `dev` publishes a clip with H.264 and AAC as live/sample.
(cd "$directory" && exec "$tributary" dev --rtmp 127.0.0.1:0 --admin 127.0.0.1:0 >server.log 2>&1) &
server=$!
for ((tries = 0; tries < 100; tries++)); do
    rtmp=$(sed -n 's/^listening .*\<rtmp=\([^ ]*\).*/\1/p' "$directory/server.log" 2>/dev/null || true)
    [[ -z $rtmp ]] || break
    sleep 0.1
done
[[ -n $rtmp ]] || fail "tributary does not start: $(cat "$directory/server.log")"

play=(cvlc --intf dummy --vout dummy --aout dummy -vv --run-time 5 --play-and-exit "rtmp://$rtmp/live/sample" vlc://quit)
if [[ $(id -u) == 0 ]]; then
    play=(runuser -u nobody -- "${play[@]}")
fi
timeout 60 "${play[@]}" >"$directory/vlc.log" 2>&1 </dev/null || fail "VLC ends badly: $(tail -3 "$directory/vlc.log")"
tracks=$(sed -n 's/.*avformat demux debug: adding es: \([a-z]* codec = [^ ]*\).*/\1/p' "$directory/vlc.log" | sort)
others=$(sed -n 's/.*avformat demux warning: //p' "$directory/vlc.log")
printf '%s\n' "$tracks" "$others" | sed '/^$/d; s/^/    VLC: /'
grep -q 'Received first picture' "$directory/vlc.log" || fail "VLC shows no picture"
[[ $tracks == $'audio codec = mp4a\nvideo codec = h264' && -z $others ]] ||
    fail "the stream has H.264 and AAC, and VLC finds something else"
echo "VLC plays the stream and finds H.264 and AAC alone"
