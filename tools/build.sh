#!/bin/bash
# Builds build/coracle: release, link-time optimisation, hardened.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v ccache >/dev/null && export CC="ccache ${CC:-cc}"
[ -f build/release/build.ninja ] || meson setup build/release --buildtype=release -Db_lto=true -Dtests=false --strip >build/setup.log 2>&1 ||
	{ cat build/setup.log; exit 1; }
ninja -C build/release src/main/coracle >build/build.log 2>&1 || { tail -40 build/build.log; exit 1; }
# Stripped beside the build tree: what is measured and run is what would be installed.
strip -o build/coracle.new build/release/src/main/coracle && mv build/coracle.new build/coracle
