#!/bin/sh
# The start command of an existing image, with leases around it:
#
#   start.sh [COMMAND...]        COMMAND: what the image starts; left out, /start.sh
#
# volumelease is installed if it is not there: for the Python that the handler runs with, so that
# the handler can import it. It becomes the first process of the container, with COMMAND below it.
#
#   PYTHON              python3
#   LEASES_PACKAGE      volumelease[metrics,redis,watch]; a wheel on the volume makes cold starts
#                       independent of a package index
#   LEASES_PIP_OPTIONS  for pip, one word each
set -eu

python=${PYTHON:-python3}
package=${LEASES_PACKAGE:-volumelease[metrics,redis,watch]}
[ $# -gt 0 ] || set -- /start.sh

fail() {
    echo "error: $1" >&2
    echo "try: $2" >&2
    exit 1
}

command -v "$1" >/dev/null || fail "$1 is not in this image" "name the command that starts the handler"
command -v "$python" >/dev/null || fail "no $python in this image" "set PYTHON to the handler's Python"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || fail "$python is older than 3.11" "set PYTHON to a newer one"

if ! "$python" -c 'import volumelease' 2>/dev/null; then
    # A container belongs to nobody's package manager.
    # shellcheck disable=SC2086 # one word each
    PIP_BREAK_SYSTEM_PACKAGES=1 "$python" -m pip install --quiet --no-input \
        --disable-pip-version-check ${LEASES_PIP_OPTIONS:-} "$package" \
        || fail "$package can't be installed" "put volumelease into the image, or set LEASES_PACKAGE"
fi

# exec: the daemon must be the first process, and get the platform's SIGTERM.
exec "$python" -m volumelease worker -- "$@"
