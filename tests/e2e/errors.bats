# Bad input, each with upstream's status, reason and message.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
	load lib
	sandbox errors
	k create clusterrolebinding tester --clusterrole=cluster-admin --serviceaccount=default:default
	TOKEN=$(k create token default)
	SERVER=$(k config view -o jsonpath='{.clusters[0].cluster.server}')
	export TOKEN SERVER
}
teardown_file() { load lib; sandbox_down; }

# api METHOD PATH [curl options]: the answer's body, and its status in $code.
api() {
	local method=$1 path=$2
	shift 2
	code=$(curl -sk -X "$method" -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' -H "Authorization: Bearer $TOKEN" "$@" "$SERVER$path")
	cat "$BATS_TEST_TMPDIR/body"
}
# refused CODE REASON TEXT: what api said last.
refused() {
	[ "$code" = "$1" ] && [ "$(jq -r .reason "$BATS_TEST_TMPDIR/body")" = "$2" ] && jq -r .message "$BATS_TEST_TMPDIR/body" | grep -F -- "$3" && return 0
	echo "$code: $(cat "$BATS_TEST_TMPDIR/body")"
	return 1
}
json='Content-Type: application/json'
cms=/api/v1/namespaces/default/configmaps

@test "broken JSON and YAML" {
	api POST $cms -H "$json" -d '{"metadata":'
	refused 400 BadRequest 'unexpected end of JSON input'
	api POST $cms -H 'Content-Type: application/yaml' --data-binary $'metadata:\n  name: [a\n'
	refused 400 BadRequest 'yaml: '
}

@test "wrong types" {
	api POST $cms -H "$json" -d '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":["a"]}'
	refused 400 BadRequest 'json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string'
}

@test "unknown and duplicate fields, strictly" {
	api POST "$cms?fieldValidation=Strict" -H "$json" -d '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"datas":{},"data":{"a":"1","a":"2"}}'
	refused 400 BadRequest 'strict decoding error: '
	refused 400 BadRequest 'unknown field "datas"'
	refused 400 BadRequest 'duplicate field "data.a"'
	run -1 k create -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"datas":{}}'
	[[ "$output" = *'unknown field "datas"'* ]]
}

@test "invalid names" {
	api POST $cms -H "$json" -d '{"metadata":{"name":"Not_Valid"}}'
	refused 422 Invalid 'ConfigMap "Not_Valid" is invalid: metadata.name: Invalid value: "Not_Valid": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters'
}

@test "selector mismatch, duplicate ports" {
	run -1 k create -f - <<<'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"x"}]}}}}'
	[[ "$output" = *'The Deployment "d" is invalid: spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template `labels`'* ]]
	run -1 k create -f - <<<'{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"ports":[{"name":"a","port":80},{"name":"a","port":81}]}}'
	[[ "$output" = *'spec.ports[1].name: Duplicate value: "a"'* ]]
}

@test "missing namespace, missing object, conflict, already there" {
	run -1 k -n nowhere create configmap x
	[[ "$output" = *'Error from server (NotFound): namespaces "nowhere" not found'* || "$output" = *'namespaces "nowhere" not found'* ]]
	api GET $cms/nothing
	refused 404 NotFound 'configmaps "nothing" not found'
	k create configmap twice
	run -1 k create configmap twice
	[[ "$output" = *'Error from server (AlreadyExists): configmaps "twice" already exists'* || "$output" = *'configmaps "twice" already exists'* ]]
	api PUT $cms/twice -H "$json" -d '{"metadata":{"name":"twice","resourceVersion":"1"}}'
	refused 409 Conflict 'Operation cannot be fulfilled on configmaps "twice": the object has been modified; please apply your changes to the latest version and try again'
}

@test "401 and 403" {
	equals 401 curl -sk -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' -H 'Authorization: Bearer wrong' "$SERVER/api/v1/pods"
	equals Unauthorized jq -r .reason "$BATS_TEST_TMPDIR/body"
	equals 403 curl -sk -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' "$SERVER/api/v1/pods"
	equals 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope' jq -r .message "$BATS_TEST_TMPDIR/body"
}

@test "image not found: ErrImagePull, then ImagePullBackOff" {
	k run noimage --image=127.0.0.1:9/none:1 --restart=Never
	until_ok 20 sh -c "$CLIENTS/kubectl get pod noimage -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}' | grep -x ErrImagePull"
	until_ok 40 sh -c "$CLIENTS/kubectl get pod noimage -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}' | grep -x ImagePullBackOff"
	k delete pod noimage --grace-period=0 --force
}

@test "a command that does not exist, one that fails: CrashLoopBackOff with reason and exit code" {
	k run badcmd --image=busybox:1.37 -- /no/such/program
	until_ok 20 sh -c "$CLIENTS/kubectl get pod badcmd -o jsonpath='{.status.containerStatuses[0].lastState.terminated.reason}' | grep -x -e StartError -e ContainerCannotRun"
	until_ok 20 sh -c "$CLIENTS/kubectl get pod badcmd -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}' | grep -x -e CrashLoopBackOff -e RunContainerError"
	k run failing --image=busybox:1.37 -- sh -c 'exit 3'
	until_ok 30 equals CrashLoopBackOff k get pod failing -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}'
	equals '3 Error' k get pod failing -o jsonpath='{.status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].lastState.terminated.reason}'
	k delete pod badcmd failing --grace-period=0 --force
}

@test "a pod that fits nowhere says why, in the scheduler's words" {
	k run huge --image=busybox:1.37 --restart=Never --overrides='{"spec":{"containers":[{"name":"huge","image":"busybox:1.37","resources":{"requests":{"cpu":"1000"}}}]}}'
	until_ok 10 sh -c "$CLIENTS/kubectl get events --field-selector involvedObject.name=huge,reason=FailedScheduling -o jsonpath='{.items[0].message}' | grep '^0/1 nodes are available: 1 Insufficient cpu.'"
	equals Unschedulable k get pod huge -o jsonpath='{.status.conditions[?(@.type=="PodScheduled")].reason}'
	k delete pod huge
}

@test "too large a body" {
	head -c 4000000 /dev/zero | tr '\0' a >"$BATS_TEST_TMPDIR/big"
	api POST $cms -H "$json" --http1.1 --data-binary "@$BATS_TEST_TMPDIR/big" >/dev/null
	refused 413 RequestEntityTooLarge 'Request entity too large: limit is 3145728'
	run -1 k create configmap big --from-file="$BATS_TEST_TMPDIR/big" # over HTTP/2
	[[ "$output" = *'Request entity too large: limit is 3145728'* ]]
}

@test "half a request and slow clients harm nobody" {
	host=${SERVER#https://}
	for _ in $(seq 50); do
		(printf 'GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nAuth'; sleep 6) | timeout 6 openssl s_client -connect "$host" -quiet >/dev/null 2>&1 &
	done
	sleep 1
	start=$(date +%s%N)
	for _ in $(seq 20); do api GET $cms >/dev/null; [ "$code" = 200 ]; done
	[ $((($(date +%s%N) - start) / 1000000)) -lt 3000 ]
	wait
}

@test "what is not built refuses clearly" {
	k apply -f - <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: nfs}
spec:
  containers: [{name: c, image: "busybox:1.37"}]
  volumes: [{name: v, nfs: {server: 127.0.0.1, path: /}}]
YAML
	until_ok 20 sh -c "$CLIENTS/kubectl get events --field-selector involvedObject.name=nfs -o jsonpath='{.items[*].message}' | grep -i 'not supported'"
	k delete pod nfs --grace-period=0 --force
}
