# The demo as a user runs it, and that it leaves nothing behind.
bats_require_minimum_version 1.5.0
load lib

traces() {
	pgrep -fc "coracle up --foreground" || true
	grep -c coracle /proc/self/mountinfo || true
	ip -o link | grep -c coracle || true
	nft list tables | grep -c -e kube-proxy -e coracle || true
	find /sys/fs/cgroup -maxdepth 3 -type d -name 'coracle-*' | wc -l
	find /var/lib/coracle-sandboxes -maxdepth 1 -name demo 2>/dev/null | wc -l
	pgrep -c conmon || true
}

@test "demo.sh shows twenty answers from two replicas; down leaves nothing" {
	cd "$ROOT"
	before=$(traces)
	start=$SECONDS
	./demo.sh >"$BATS_TEST_TMPDIR/out" 2>&1 || { cat "$BATS_TEST_TMPDIR/out"; false; }
	[ $((SECONDS - start)) -lt 30 ] # everything is built and downloaded by now
	equals 20 grep -cE '^ +[0-9]+  10\.[0-9.]+:[0-9]+ +nginx-' "$BATS_TEST_TMPDIR/out"
	equals 2 sh -c "grep -E '^ +[0-9]+  10' $BATS_TEST_TMPDIR/out | awk '{print \$3}' | sort -u | wc -l"
	grep -E 'deployment.apps/nginx +2/2' "$BATS_TEST_TMPDIR/out"
	./demo.sh down
	equals "$before" traces
}

@test "two sandboxes side by side" {
	"$CORACLE" sandbox up --name t-left --nodes 0 >"$BATS_TEST_TMPDIR/left"
	"$CORACLE" sandbox up --name t-right --nodes 0 --without scheduler >"$BATS_TEST_TMPDIR/right"
	left=$(tail -1 "$BATS_TEST_TMPDIR/left" | sed 's/^kubeconfig: //') right=$(tail -1 "$BATS_TEST_TMPDIR/right" | sed 's/^kubeconfig: //')
	KUBECONFIG=$left k create configmap only-left
	KUBECONFIG=$left k get configmap only-left
	KUBECONFIG=$right run -1 k get configmap only-left
	run -1 "$CORACLE" sandbox exec --name t-right -- pgrep -f 'coracle scheduler'
	"$CORACLE" sandbox exec --name t-left -- pgrep -f 'coracle scheduler'
	run -42 "$CORACLE" sandbox exec --name t-left -- sh -c 'exit 42'
	"$CORACLE" sandbox exec --name t-left -- "$CLIENTS/kubectl" get configmap only-left
	"$CORACLE" sandbox down --name t-left
	"$CORACLE" sandbox down --name t-right
}
