#!/bin/sh
# Run a command under an exclusive lease, through the daemon's socket: sh and socat, from
# PROTOCOL.md alone.
#
#   lease.sh PATH COMMAND...
#
# Exit codes: the command's own; 1 if there is no lease; 76 if it was lost while the command ran
# (which is ended then).
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

(trap - PIPE; export VOLUMELEASE_TOKEN="$token"; exec "$@") &
command=$!

# A command whose lease is lost must not go on; nor one whose daemon can't be asked any more.
(
    while read -r line <&4; do
        case $line in '{"event":"lost"'*) break ;; esac
    done
    kill -0 "$command" 2>/dev/null || exit 0
    : >"$pipes/lost" # first: whoever waits for the command looks for it
    kill "$command" 2>/dev/null
) &
watcher=$!

code=0
wait "$command" || code=$?
kill "$watcher" 2>/dev/null || :
wait "$watcher" 2>/dev/null || :
test -e "$pipes/lost" && exit 76
printf '{"id":2,"do":"release","token":"%s"}\n' "$token" >&3
while read -r line <&4; do
    case $line in '{"id":2,'*) break ;; esac
done
exit "$code"
