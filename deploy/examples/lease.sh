#!/bin/sh
# Run a command under an exclusive lease, through the daemon's socket: sh and socat, from
# PROTOCOL.md alone.
#
#   lease.sh PATH COMMAND...
#
# Exit codes: the command's own; 1 if there is no lease; 76 if it was lost while the command ran
# (which is ended then, but not what it started in the background).
set -eu

path=$1
shift
socket=${VOLUMELEASE_SOCKET:-/run/volumelease/daemon.sock}
pipes=$(mktemp -d)
mkfifo "$pipes/to" "$pipes/from"

# The client is the socat process: what is leased is given back when it ends.
socat - "UNIX-CONNECT:$socket" <"$pipes/to" >"$pipes/from" &
connection=$!
command=
trap 'kill "$connection" 2>/dev/null || :; rm -rf "$pipes"' EXIT
trap 'test -z "$command" || kill "$command"' TERM INT
exec 3>"$pipes/to" 4<"$pipes/from"

escaped=$(printf %s "$path" | sed 's/\\/\\\\/g; s/"/\\"/g')
printf '%s\n' '{"hello":{"versions":[1],"name":"lease.sh"}}' >&3
printf '{"id":1,"do":"acquire","paths":["%s"],"reason":"lease.sh"}\n' "$escaped" >&3

now() { # hundredths of a second, of the clock that goes on while the machine sleeps
    read -r up _ </proc/uptime
    now=${up%.*}${up#*.}
}

# The daemon is asked whether the lease is held, and until when that can be assumed: that long
# after the question, at least. The number of a question says when it was asked.
ask() {
    now
    printf '{"id":%s0,"do":"attach","path":"%s"}\n' "$now" "$escaped" >&3 || :
    printf '{"id":%s1,"do":"inspect","token":"%s"}\n' "$now" "$token" >&3 || :
}

session="" attached="" inspected="" until=""
heard() { # 1: it is lost
    number=$(printf %s "$line" | sed -n 's/^{"id":\([0-9]*\)[01],.*/\1/p')
    case $line in
    *'"is":"attached"'*)
        found=$(printf %s "$line" | sed 's/.*"session":"\([^"]*\)".*/\1/')
        test "${session:=$found}" = "$found" || return 1
        attached=$number
        seconds=$(printf %s "$line" | sed 's/.*"seconds":\([0-9.]*\).*/\1/')
        ttl=$(printf %s "$line" | sed 's/.*"ttl":\([0-9.]*\).*/\1/')
        until=$(awk "BEGIN { printf \"%d\", $number + 100 * $seconds }")
        ;;
    *'"is":"granted"'*) inspected=$number ;;
    '{"event":"lost"'* | *'"is":"lost"'*) return 1 ;;
    esac
}

trap '' PIPE # a daemon that has gone is noticed by what can't be read
token=
while read -r line <&4; do
    case $line in
    *'"working":true'*) ;;
    '{"hello":'*) ;;
    *'"is":"waiting"'*) echo "waiting for $path" >&2 ;;
    *'"is":"granted"'* | '{"event":"granted"'*)
        token=$(printf %s "$line" | sed 's/.*"token":"\([0-9]*\)".*/\1/')
        break
        ;;
    *)
        echo "no lease on $path: $line" >&2
        exit 1
        ;;
    esac
done
test -n "$token" || { echo "the daemon has gone" >&2; exit 1; }

ask
while test -z "$until" || test "$attached" != "$inspected"; do
    if ! read -r line <&4 || ! heard; then
        echo "the lease on $path is lost already" >&2
        exit 1
    fi
done
echo "$until" >"$pipes/until"

(trap - PIPE; export VOLUMELEASE_TOKEN="$token"; exec "$@") &
command=$!

# A command whose lease is lost must not go on; nor one whose daemon can't be asked any more, or
# does not answer in time.
(
    while read -r line <&4 && heard; do
        if test "$attached" = "$inspected"; then
            echo "$until" >"$pipes/fresh"
            mv "$pipes/fresh" "$pipes/until"
        fi
    done
    : >"$pipes/lost" # first: whoever waits for the command looks for it
) &
listener=$!
(
    often=$(awk "BEGIN { printf \"%d\", 100 * $ttl / 6 }")
    now
    next=$((now + often))
    while ! test -e "$pipes/lost"; do
        sleep 0.2
        now
        read -r until <"$pipes/until"
        test "$now" -lt "$until" || : >"$pipes/lost"
        test "$now" -lt "$next" || { ask; next=$((now + often)); }
    done
    kill "$command" 2>/dev/null || exit 0
    sleep 0.5
    kill -KILL "$command" 2>/dev/null
) &
watcher=$!

code=0
wait "$command" || code=$?
# Not by TERM: one that has only just begun has this shell's trap still, and would go on.
kill -KILL "$listener" "$watcher" 2>/dev/null || :
wait "$listener" "$watcher" 2>/dev/null || :
test -e "$pipes/lost" && exit 76
printf '{"id":2,"do":"release","token":"%s"}\n' "$token" >&3 || :
while read -r line <&4; do
    case $line in '{"id":2,'*) break ;; esac
done
exit "$code"
