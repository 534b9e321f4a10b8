#!/bin/bash
# Runs the tests of the CRI server in a node of its own: private mount, network and UTS namespaces, a plain cgroup view (CGROUP=v1, the
# default, or v2), /run on a tmpfs. Nothing is left behind. Needs root, bats, python3, crun, conmon, nft.
#
#     CORACLE=build/coracle CRI_CALL=build/src/runtime/cri_call tests/runtime/run.sh [BATS-ARGUMENT]...
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export CORACLE=$(realpath "${CORACLE:-$here/../../build/coracle}") CRI_CALL=$(realpath "${CRI_CALL:-$here/../../build/src/runtime/cri_call}")
export HERE=$here ROOT=$here/../.. CGROUP=${CGROUP:-v1}
export WORK=$(mktemp -d /var/tmp/coracle-runtime-test.XXXXXX)
export TEST_CGROUP=/coracle-test-$$
trap 'rm -rf --one-file-system "$WORK"' EXIT
unshare --mount --net --uts --propagation private bash -euc '
	mount -t tmpfs cgroup /sys/fs/cgroup
	if [ "$CGROUP" = v2 ]; then
		mount -t cgroup2 cgroup /sys/fs/cgroup
	else
		for c in cpu cpuacct cpuset memory devices freezer blkio pids; do
			mkdir /sys/fs/cgroup/$c
			mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c
		done
	fi
	mount -t tmpfs run /run
	ip link set lo up
	status=0
	bats "$@" "$HERE/cni.bats" "$HERE/runtime.bats" || status=$?
	find /sys/fs/cgroup -depth -type d -path "*$TEST_CGROUP*" -exec rmdir {} \; 2>/dev/null || true
	exit $status
' -- "$@"
