#!/usr/bin/env bash
# Shows with OBS Studio, under a display of its own and without a graphics card, that it publishes, that it is refused a
# name that is taken, and that it comes back after its edge was stopped and after it was killed, under a bare key and
# under one that says who publishes. The program is $TRIBUTARY, or is built. OBS_LOG=FILE keeps what OBS logged.
set -euo pipefail
cd "$(dirname "$0")/.."

directory=$(mktemp -d)
started=()

# Ends what this script has started, the newest first.
clean_up() {
    local status=$? index
    for ((index = ${#started[@]} - 1; index >= 0; index--)); do
        end "${started[index]}"
    done
    if [[ -n ${OBS_LOG:-} ]]; then
        cat "$directory"/*.obs.log >"$OBS_LOG" 2>/dev/null || true
    fi
    rm -rf "$directory"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

say() { printf '%s\n' "$*"; }

fail() {
    say "FAILED: $*" >&2
    exit 1
}

# Asks a process of ours to end, and ends it if it does not within 5 s.
end() {
    local pid=$1
    kill -TERM "$pid" 2>/dev/null || return 0
    within 5 has_ended "$pid" || kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

has_ended() { ! kill -0 "$1" 2>/dev/null; }

# Waits until a command succeeds, at most the given seconds.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

# Starts a command in the background with its output in NAME.log; its process id is in $pid afterwards.
start() {
    local name=$1
    shift
    : >"$directory/$name.log"
    "$@" >"$directory/$name.log" 2>&1 &
    pid=$!
    started+=("$pid")
}

install_what_is_missing() {
    local missing=() entry
    for entry in obs:obs-studio Xvfb:xvfb ffmpeg:ffmpeg ffprobe:ffmpeg; do
        command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
    done
    ((${#missing[@]})) || return 0
    local install=(apt-get install -y --no-install-recommends "${missing[@]}" libgl1-mesa-dri)
    [[ $(id -u) == 0 ]] || fail "not installed: ${missing[*]}. Run: sudo ${install[*]}"
    say "installing: ${missing[*]}"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive "${install[@]}" </dev/null >/dev/null
}

# The address that a process of tributary printed for a key.
address() { sed -n "s/^listening .*\<$2=\([^ ]*\).*/\1/p; s/^listening $2=\([^ ]*\).*/\1/p" "$directory/$1.log" | head -1; }

is_listening() { grep -q '^listening ' "$directory/$1.log"; }

has_link() {
    local host=${admin%:*} port=${admin##*:}
    { exec 9<>"/dev/tcp/$host/$port"; } 2>/dev/null || return 1
    printf 'GET /readyz HTTP/1.0\r\n\r\n' >&9
    local line
    read -r line <&9 || true
    exec 9>&-
    [[ $line == *" 200 "* ]]
}

# Starts the edge at an address; $edge is its process id, $rtmp and $admin are where it listens.
start_edge() {
    edges=$((edges + 1))
    start "edge$edges" "$tributary" edge --cert "$directory/edge" --rtmp "$1" --admin 127.0.0.1:0 \
        --origin "origin@$link"
    edge=$pid
    within 10 is_listening "edge$edges" || fail "the edge does not start: $(cat "$directory/edge$edges.log")"
    rtmp=$(address "edge$edges" rtmp)
    admin=$(address "edge$edges" admin)
    within 10 has_link || fail "the edge has no link to the origin"
}

start_servers() {
    "$tributary" cert init "$directory/ca" >/dev/null
    "$tributary" cert issue --role origin --name origin --ca "$directory/ca" --out "$directory/origin" >/dev/null
    "$tributary" cert issue --role edge --name edge --ca "$directory/ca" --out "$directory/edge" >/dev/null
    printf '[applications.live]\nsecond_publisher = "takeover"\n' >"$directory/origin.toml"
    start origin "$tributary" origin --cert "$directory/origin" --link 127.0.0.1:0 --admin 127.0.0.1:0 \
        --config "$directory/origin.toml"
    origin=$pid
    within 10 is_listening origin || fail "the origin does not start: $(cat "$directory/origin.log")"
    link=$(address origin link)
    edges=0
    start_edge 127.0.0.1:0
}

start_display() {
    # Xvfb takes a number that is free and says which.
    Xvfb -displayfd 1 -screen 0 800x600x24 -nolisten tcp >"$directory/display" 2>/dev/null &
    started+=("$!")
    within 10 test -s "$directory/display" || fail "Xvfb does not start"
}

# Writes a profile P and a scene S of OBS that publishes to a key.
configure_obs() {
    local home=$1 key=$2
    local settings=$home/.config/obs-studio
    mkdir -p "$settings/basic/profiles/P" "$settings/basic/scenes"
    cat >"$settings/global.ini" <<END
[General]
FirstRun=true
EnableAutoUpdates=false

[BasicWindow]
SysTrayEnabled=false
END
    cat >"$settings/basic/profiles/P/basic.ini" <<END
[General]
Name=P

[Output]
Mode=Simple
Reconnect=true
RetryDelay=2
MaxRetries=20

[SimpleOutput]
VBitrate=400
ABitrate=96
StreamEncoder=x264
UseAdvanced=true
Preset=ultrafast
x264Settings=keyint=20

[Video]
BaseCX=320
BaseCY=180
OutputCX=320
OutputCY=180
FPSType=1
FPSInt=10
END
    cat >"$settings/basic/profiles/P/service.json" <<END
{"type": "rtmp_custom", "settings": {"server": "rtmp://$rtmp/live", "key": "$key", "use_auth": false}}
END
    cat >"$settings/basic/scenes/S.json" <<END
{"name": "S", "current_scene": "Scene", "current_program_scene": "Scene", "scene_order": [{"name": "Scene"}],
 "sources": [
  {"id": "scene", "name": "Scene", "settings": {"id_counter": 1, "items": [{"name": "Colour", "id": 1, "visible": true}]}},
  {"id": "color_source_v3", "name": "Colour", "settings": {"color": 4281545523, "width": 320, "height": 180}}]}
END
}

# Starts OBS, which publishes a name at once, with a query if one is given; $obs is its process id, NAME.obs.log its log.
start_obs() {
    local name=$1 query=${2:-}
    local home=$directory/$name.home
    configure_obs "$home" "$name$query"
    start "$name.obs" env -u XDG_CONFIG_HOME HOME="$home" XDG_RUNTIME_DIR="$home" \
        DISPLAY=":$(cat "$directory/display")" LIBGL_ALWAYS_SOFTWARE=1 \
        obs --startstreaming --multi --profile P --collection S
    obs=$pid
    within 40 logged "$name" "$connected\|Publish.BadName" || fail "OBS does not connect: $(show_log "$name" 1)"
}

logged() { grep -q "$2" "$directory/$1.obs.log"; }

# How often OBS has logged a text.
count() { grep -c "$2" "$directory/$1.obs.log" || true; }

logged_again() { (($(count "$1" "$2") > $3)); }

# The lines of OBS's log about its connection, from a line number on.
show_log() {
    tail -n "+$2" "$directory/$1.obs.log" |
        grep -i 'rtmp stream\|NetStream\|NetConnection\|reconnect\|RTMPSockBuf\|Streaming St' | sed 's/^/    OBS: /' || true
}

lines() { wc -l <"$directory/$1.obs.log"; }

# Whether a stream has H.264 and AAC; $tracks is what ffprobe found.
is_on_air() {
    tracks=$(timeout 15 ffprobe -v error -show_entries stream=codec_name -of csv=p=0 "rtmp://$rtmp/live/$1" \
        2>/dev/null | sort | tr '\n' ' ') || return 1
    [[ " $tracks" == *" h264 "* && " $tracks" == *" aac "* ]]
}

publishes() {
    start_obs test
    within 20 is_on_air test || fail "the stream has not H.264 and AAC: ${tracks:-nothing}"
    show_log test 1
    say "1. OBS publishes: ffprobe finds $tracks"
}

is_refused_a_taken_name() {
    local first=$obs holder
    start taken ffmpeg -nostdin -loglevel error -re -f lavfi -i testsrc2=size=320x180:rate=10 -f lavfi -i sine \
        -c:v libx264 -preset ultrafast -g 20 -pix_fmt yuv420p -c:a aac -f flv "rtmp://$rtmp/live/taken"
    holder=$pid
    within 20 is_on_air taken || fail "ffmpeg does not publish: $(cat "$directory/taken.log")"
    start_obs taken
    logged taken 'Publish.BadName' || fail "OBS is not told that the name is taken: $(show_log taken 1)"
    within 10 logged taken 'Streaming Stop' || fail "OBS does not stop: $(show_log taken 1)"
    # After a refusal OBS asks its user. Its first delay is 2 s.
    ! within 6 logged taken 'Reconnecting' || fail "OBS tries again: $(show_log taken 1)"
    ! has_ended "$holder" || fail "the first publisher has gone"
    is_on_air taken || fail "the first publisher's stream has gone"
    show_log taken 1
    say "2. OBS is refused a name that is taken, says why and does not try again; the first publisher stays"
    end "$obs"
    end "$holder"
    obs=$first
}

# Ends the edge by a signal, starts it again where it was, and waits for the OBS that publishes a name.
returns_after() {
    local signal=$1 name=$2 from back gone
    from=$(($(lines "$name") + 1))
    back=$(count "$name" "$connected")
    gone=$(count "$name" 'Reconnecting in')
    kill "-$signal" "$edge"
    wait "$edge" 2>/dev/null || true
    within 20 logged_again "$name" 'Reconnecting in' "$gone" || fail "OBS does not notice: $(show_log "$name" "$from")"
    start_edge "$rtmp"
    within 60 logged_again "$name" "$connected" "$back" || fail "OBS stays away: $(show_log "$name" "$from")"
    within 20 is_on_air "$name" || fail "the stream is not back: ${tracks:-nothing}"
    ! has_ended "$obs" || fail "OBS has ended"
    ! has_ended "$origin" || fail "the origin has ended"
    show_log "$name" "$from"
}

returns_after_a_stop() {
    returns_after TERM test
    say "3. OBS is back after its edge was stopped and started again: ffprobe finds $tracks"
}

# The origin keeps the sessions of a killed edge for grace_time: until then the bare key is refused.
returns_after_a_kill() {
    returns_after KILL test
    say "4. OBS is back after its edge was killed and started again: ffprobe finds $tracks"
    end "$obs"
}

# A key with a query says who publishes, so that OBS takes its name over from its own lost session.
takes_its_name_over_after_a_kill() {
    start_obs own '?by=obs'
    within 20 is_on_air own || fail "the stream has not H.264 and AAC: ${tracks:-nothing}"
    returns_after KILL own
    ! logged own 'Publish.BadName' || fail "OBS is refused its own name"
    say "5. OBS with a query in its key is back at once after a kill: ffprobe finds $tracks"
}

# What OBS logs when a connection publishes.
connected='Connection to .* successful'

install_what_is_missing
tributary=${TRIBUTARY:-}
if [[ -z $tributary ]]; then
    cargo build --release --locked
    tributary=${CARGO_TARGET_DIR:-target}/release/tributary
fi
[[ -x $tributary ]] || fail "there is no program $tributary"
tributary=$(realpath "$tributary")
say "$(obs --version 2>/dev/null | head -1), $("$tributary" --version)"
start_servers
start_display
publishes
is_refused_a_taken_name
returns_after_a_stop
returns_after_a_kill
takes_its_name_over_after_a_kill
say "OBS: all of it is so"
