#!/bin/sh
# Puts Prometheus's promtool into .cache/promtool/, for the tests of the alert rules: scripts/get_promtool.sh
#
# It unpacks Debian's package and installs nothing: no server is started, and no root is needed.
set -eu
cd "$(dirname "$0")/.."

folder=.cache/promtool
if command -v promtool >/dev/null 2>&1 || "$folder/usr/bin/promtool" --version >/dev/null 2>&1; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "get_promtool: this needs apt-get; elsewhere, put a promtool on PATH" >&2
    exit 1
fi

rm -rf "$folder"
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
cd "$folder"
# The machine's own package lists may be missing or old, and only root could bring them up to date.
own="-o Dir::State::Lists=$PWD/lists -o Dir::Cache=$PWD/cache -o Debug::NoLocking=1"
# shellcheck disable=SC2086
if ! apt-get -qq download prometheus >/dev/null 2>&1; then
    apt-get -qq $own update
    apt-get -qq $own download prometheus
fi
dpkg-deb -x prometheus_*.deb .
rm -rf lists cache prometheus_*.deb usr/bin/prometheus usr/share etc lib var
usr/bin/promtool --version 2>&1 | head -n 1
