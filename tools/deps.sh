#!/bin/bash
# Installs what building, running and testing Coracle needs, from Debian's packages. Does nothing when all is there.
#   tools/deps.sh          to build and run
#   tools/deps.sh test     also what the tests and linters need
set -euo pipefail
build="gcc meson ninja-build pkg-config python3 libuv1-dev libssl-dev libnghttp2-dev libhttp-parser-dev libwslay-dev liblmdb-dev libyaml-dev
libarchive-dev libnftables-dev libmnl-dev libseccomp-dev zlib1g-dev libzstd-dev"
run="conmon crun nftables iproute2 ca-certificates"
test="libcmocka-dev libjansson-dev clang libclang-rt-14-dev clang-tidy cppcheck bats jq curl unzip npm docker-registry ccache util-linux procps"
want="$build $run"
[ "${1:-}" = test ] && want="$want $test"
missing=
for p in $want; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' && continue
	case $p in # what another package, or none at all, already provides
	gcc) command -v cc >/dev/null && continue ;;
	python3 | npm | ccache | jq | curl | unzip | bats | clang | clang-tidy | cppcheck) command -v "$p" >/dev/null && continue ;;
	esac
	missing="$missing $p"
done
[ -z "$missing" ] && exit 0
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
# Debian's registry starts itself on hosts with an init system; the tests start their own.
