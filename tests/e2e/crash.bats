# Each process may die at any moment.
bats_require_minimum_version 1.5.0
load lib

setup_file() { load lib; sandbox crash; web web 2; }
teardown_file() { load lib; sandbox_down; }

pid_of() { on 1 pgrep -f "^[^ ]*coracle $1 " | head -1; }
came_back() { local p; p=$(pid_of "$1"); [ -n "$p" ] && [ "$p" != "$2" ]; }

@test "each component killed in turn: no request fails, it is back within a second, the cluster converges" {
	port=$(k get service web -o jsonpath='{.spec.ports[0].nodePort}')
	for component in proxy kubelet runtime scheduler controller-manager apiserver; do
		on 1 sh -c "for i in \$(seq 150); do curl -s -o /dev/null --max-time 2 -w '%{http_code}\n' http://10.89.0.11:$port/; sleep 0.01; done" >"$BATS_TEST_TMPDIR/codes" &
		load=$!
		sleep 0.3
		old=$(pid_of $component)
		on 1 kill -9 "$old"
		start=$(date +%s%N)
		until_ok 5 came_back $component "$old"
		[ $((($(date +%s%N) - start) / 1000000)) -lt 1000 ]
		wait $load
		equals '150 200' sh -c "sort $BATS_TEST_TMPDIR/codes | uniq -c | awk '{print \$1, \$2}'"
		until_ok 30 k scale deployment web --replicas=3
		k rollout status deployment/web --timeout=40s
		k scale deployment web --replicas=2
		k rollout status deployment/web --timeout=40s
		until_ok 20 sh -c "[ \$($CLIENTS/kubectl get pods -l app=web -o name | wc -l) = 2 ]"
		equals '0 0' k get pods -l app=web -o jsonpath='{.items[*].status.containerStatuses[0].restartCount}'
	done
}

@test "all killed under a stream of writes: nothing acknowledged is lost, revisions go on rising" {
	server=$(k config view -o jsonpath='{.clusters[0].cluster.server}')
	token=$(k create token default)
	k create clusterrolebinding writer --clusterrole=cluster-admin --serviceaccount=default:default
	for w in 1 2 3; do
		(for i in $(seq 4000); do
			curl -sk --max-time 3 -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$server/api/v1/namespaces/default/configmaps" \
				-d "{\"metadata\":{\"name\":\"w$w-$i\"},\"data\":{\"n\":\"$i\"}}" | grep -qx 201 && echo "w$w-$i" || break
		done) >"$BATS_TEST_TMPDIR/acked-$w" &
	done
	sleep 2
	before=$(k get --raw '/api/v1/namespaces/default/configmaps?limit=1' | jq -r .metadata.resourceVersion)
	on 1 sh -c 'kill -9 $(pgrep -f "^[^ ]*coracle (apiserver|controller-manager|scheduler|kubelet|runtime|proxy) ")'
	wait
	until_ok 20 k get --raw /readyz
	cat "$BATS_TEST_TMPDIR"/acked-* | sort >"$BATS_TEST_TMPDIR/acked"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/acked")" -gt 20 ]
	k get configmaps -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}' | sort >"$BATS_TEST_TMPDIR/stored"
	lost=$(comm -23 "$BATS_TEST_TMPDIR/acked" "$BATS_TEST_TMPDIR/stored" | wc -l)
	echo "$(wc -l <"$BATS_TEST_TMPDIR/acked") acknowledged, $lost lost"
	[ "$lost" = 0 ]
	k create configmap after
	after=$(k get configmap after -o jsonpath='{.metadata.resourceVersion}')
	[ "$after" -gt "$before" ]
	k rollout status deployment/web --timeout=30s
}
