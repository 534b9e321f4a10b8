# What fails is replaced.
bats_require_minimum_version 1.5.0
load lib

setup_file() { load lib; sandbox healing --nodes 3 --node-monitor-grace-period 16s; }
teardown_file() { load lib; sandbox_down; }

@test "nginx killed: the container is restarted, restartCount 1" {
	web one 1
	pod=$(pod_of one)
	node=$(k get pod "$pod" -o jsonpath='{.spec.nodeName}')
	on "${node#node-}" sh -c 'kill -9 $(pgrep -o -f "nginx: master")'
	until_ok 20 equals 1 k get pod "$pod" -o jsonpath='{.status.containerStatuses[0].restartCount}'
	k wait --for=condition=Ready "pod/$pod" --timeout=30s
	equals 137 k get pod "$pod" -o jsonpath='{.status.containerStatuses[0].lastState.terminated.exitCode}'
}

@test "a pod deleted: another takes its place" {
	pod=$(pod_of one)
	k delete pod "$pod" --wait=false
	until_ok 20 sh -c "[ \"\$($CLIENTS/kubectl get pods -l app=one -o jsonpath='{.items[*].status.containerStatuses[*].ready}')\" = true ] && ! $CLIENTS/kubectl get pod $pod"
}

@test "a node's processes all killed: its pods are replaced elsewhere" {
	WEB_SPEC='tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2}, {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 2}]'
	export WEB_SPEC
	web spread 3
	node=$(k get pods -l app=spread -o jsonpath='{.items[*].spec.nodeName}' | tr ' ' '\n' | grep -v node-1 | head -1)
	[ -n "$node" ]
	victims=$(k get pods -l app=spread --field-selector "spec.nodeName=$node" -o name)
	first=$(jq -r ".nodes[$((${node#node-} - 1))].pid" /var/lib/coracle-sandboxes/"$SANDBOX"/state.json)
	kill -9 "$first" # the first process of the node's PID namespace: all others go with it
	until_ok 40 equals Unknown k get node "$node" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}'
	until_ok 40 sh -c "[ \$($CLIENTS/kubectl get pods -l app=spread -o jsonpath='{range .items[*]}{.spec.nodeName}{\" \"}{.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}{end}' | grep -v '$node ' | grep -c True) = 3 ]"
	for v in $victims; do equals Terminating sh -c "$CLIENTS/kubectl get $v --no-headers | awk '{print \$3}'"; done
}
