#!/usr/bin/env bash
# Installs what the tests need, if it is missing, and runs them all.
set -euo pipefail
cd "$(dirname "$0")"

# What each test client comes in, as Debian names it: a command that shows it is there, its package.
packages=(
    "command -v ffmpeg:ffmpeg"
    "command -v ffprobe:ffmpeg"
    "command -v rtmpdump:rtmpdump"
    "command -v gst-launch-1.0:gstreamer1.0-tools"
    "gst-inspect-1.0 --exists videotestsrc:gstreamer1.0-plugins-base"
    "gst-inspect-1.0 --exists flvmux:gstreamer1.0-plugins-good"
    "gst-inspect-1.0 --exists rtmp2sink:gstreamer1.0-plugins-bad"
    "gst-inspect-1.0 --exists x264enc:gstreamer1.0-plugins-ugly"
    "gst-inspect-1.0 --exists avenc_aac:gstreamer1.0-libav"
    "test -x /usr/sbin/nginx:nginx"
    "test -e /usr/lib/nginx/modules/ngx_rtmp_module.so:libnginx-mod-rtmp"
    "test -e /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream"
    "test -x /usr/sbin/haproxy:haproxy"
    "command -v stunnel4:stunnel4"
    "command -v openssl:openssl"
    "command -v systemd-analyze:systemd"
    "command -v cc:gcc"
    "test -x /usr/sbin/ip:iproute2"
    "test -x /usr/sbin/nft:nftables"
    "command -v node:nodejs"
    "command -v npm:npm"
    "command -v python3:python3"
    "python3 -m ensurepip --version:python3-venv"
    "command -v python3-config:python3-dev"
    "test -e /usr/include/librtmp/rtmp.h:librtmp-dev"
)

missing=()
for entry in "${packages[@]}"; do
    if ! ${entry%%:*} >/dev/null 2>&1; then
        missing+=("${entry##*:}")
    fi
done
if ((${#missing[@]})); then
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    install=(apt-get install -y --no-install-recommends "${missing[@]}")
    if [[ $(id -u) == 0 ]]; then
        as_root=()
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        echo "The tests need clients that are not installed. Install them and run this again:" >&2
        echo "    sudo apt-get update && sudo ${install[*]}" >&2
        exit 1
    fi
    echo "installing: ${missing[*]}"
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" </dev/null
fi

if ! command -v cargo >/dev/null; then
    echo "Rust is not installed: see https://rustup.rs, then run this again." >&2
    exit 1
fi

# Those that come from npm and from Python's index.
scripts/test-clients.sh

# The end-to-end tests hold some hundred connections at once in one process.
ulimit -n "$(ulimit -Hn)" || true
exec cargo test --workspace --locked --profile ci "$@"
