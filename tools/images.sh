#!/bin/bash
# Builds the images of the demo and the tests from Debian packages into DIR (build/images): nginx, busybox, tools.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:-build/images}
mkdir -p "$dir"
export CORACLE_MKIMAGE_CACHE=${CORACLE_MKIMAGE_CACHE:-build/cache/mkimage}
[ -f "$dir/nginx.tar" ] || tools/mkimage @tools/images/nginx --tag docker.io/library/nginx:1.29 --tag docker.io/library/nginx:latest -o "$dir/nginx.tar"
[ -f "$dir/busybox.tar" ] || tools/mkimage @tools/images/busybox --tag docker.io/library/busybox:1.37 --tag docker.io/library/busybox:latest -o "$dir/busybox.tar"
[ -f "$dir/tools.tar" ] || tools/mkimage @tools/images/tools --tag docker.io/library/tools:1 -o "$dir/tools.tar"
