#!/bin/sh
# Makes one of the project's environments from its hash-checked lock: scripts/setup.sh runtime|dev|proto|viewer
#
# It needs Python and nothing else, and writes only inside the work tree. Whatever is missing is told in one sentence.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

is_new_enough() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

has_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# Prints the first Python that can do the work. One with venv wins over an earlier one without it.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer that runs."
        candidates=$PYTHON
    else
        candidates="python3 python3.13 python3.12 python3.11 python3.14"
    fi
    without_venv=""
    for candidate in $candidates; do
        if is_new_enough "$candidate"; then
            if has_venv "$candidate"; then
                echo "$candidate"
                return
            fi
            without_venv=${without_venv:-$candidate}
        fi
    done
    if [ -n "$without_venv" ]; then
        version=$("$without_venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if [ "$without_venv" = python3 ]; then package=python3-venv; else package=python$version-venv; fi
        fail "Python $version is here, but its venv module is not: run 'sudo apt install $package', then the same command again."
    fi
    if found=$(python3 --version 2>/dev/null); then
        fail "this needs Python 3.11 or newer and found $found: run 'sudo apt install python3.11 python3.11-venv', then the same command again."
    fi
    fail "this needs Python 3.11 or newer: run 'sudo apt install python3 python3-venv', then the same command again."
}

# An environment that was interrupted, or whose Python has gone, is made anew.
make_environment() {
    if ! "$1/bin/python" -c 'import pip' >/dev/null 2>&1; then
        python=$(find_python)
        echo "setup: making $1 with $("$python" --version)"
        "$python" -m venv --clear "$1" || fail "$python could not make the environment $1."
    fi
}

install_lock() {
    echo "setup: installing requirements/$2.txt into $1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "requirements/$2.txt" ||
        fail "pip could not install requirements/$2.txt: see its message above."
}

kind=${1:-}
case $kind in
runtime | dev)
    make_environment .venv
    install_lock .venv "$kind"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ||
        fail "pip could not install this project itself: see its message above."
    # The dev lock holds all of the runtime lock, at the same versions.
    touch .venv/.stamp-runtime
    if [ "$kind" = dev ]; then touch .venv/.stamp-dev; fi
    ;;
proto)
    make_environment .venv-proto
    install_lock .venv-proto proto
    touch .venv-proto/.stamp
    ;;
viewer)
    make_environment .venv-viewer
    install_lock .venv-viewer viewer
    touch .venv-viewer/.stamp
    ;;
*) fail "say which environment to make: runtime, dev, proto or viewer." ;;
esac
