# Shared by the end-to-end tests: sandboxes, unmodified clients, waiting.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CORACLE=${CORACLE:-$ROOT/build/coracle}
CLIENTS=${CLIENTS:-$ROOT/build/clients}
IMAGES=${IMAGES:-$ROOT/build/images}
SHARED=${CORACLE_SHARED:-$ROOT/../shared}

# sandbox NAME [options]: a cluster of that name (t- and the name); sets KUBECONFIG.
sandbox() {
	SANDBOX=t-$1
	shift
	export SANDBOX
	"$CORACLE" sandbox down --name "$SANDBOX" >/dev/null 2>&1 || true
	"$CORACLE" sandbox up --name "$SANDBOX" --image "$IMAGES/nginx.tar" --image "$IMAGES/busybox.tar" --image "$IMAGES/tools.tar" "$@" >"$BATS_FILE_TMPDIR/up.out"
	KUBECONFIG=$(sed -n 's/^kubeconfig: //p' "$BATS_FILE_TMPDIR/up.out")
	export KUBECONFIG
}
sandbox_down() {
	if [ -n "${KEEP_LOGS:-}" ]; then
		mkdir -p "$KEEP_LOGS/$SANDBOX"
		for d in /var/lib/coracle-sandboxes/"$SANDBOX"/node-*; do cp -r "$d/lib/logs" "$KEEP_LOGS/$SANDBOX/$(basename "$d")" 2>/dev/null || true; done
	fi
	"$CORACLE" sandbox down --name "$SANDBOX"
}
k() { "$CLIENTS/kubectl" "$@"; }
# on NODE COMMAND...: inside a node.
on() {
	local node=$1
	shift
	"$CORACLE" sandbox exec --name "$SANDBOX" --node "$node" -- "$@"
}
# until_ok SECONDS COMMAND...: runs it until it succeeds.
until_ok() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >"$BATS_TEST_TMPDIR/until.out" 2>&1; do
		if [ "$SECONDS" -ge "$end" ]; then
			echo "still failing: $*" >&2
			cat "$BATS_TEST_TMPDIR/until.out" >&2
			return 1
		fi
		sleep 0.1
	done
}
# equals WANT COMMAND...: the command's output is exactly this.
equals() {
	local want=$1 got
	shift
	got=$("$@") || return 1
	[ "$got" = "$want" ] || { echo "want: $want"; echo "got:  $got"; return 1; }
}
# A pod that answers with its own name, in a Deployment of N replicas, behind a Service.
web() {
	local name=$1 replicas=$2
	shift 2
	k apply -f - <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: $name}
spec:
  replicas: $replicas
  selector: {matchLabels: {app: $name}}
  template:
    metadata: {labels: {app: $name}}
    spec:
      ${WEB_SPEC:-}
      containers:
      - name: nginx
        image: nginx:1.29
        command: ["/bin/sh", "-c", "echo \$POD_NAME > /usr/share/nginx/html/index.html && exec nginx -g 'daemon off;'"]
        env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        ports: [{name: http, containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: $name}
spec:
  type: NodePort
  selector: {app: $name}
  ports: [{name: http, port: 80, targetPort: http}]
YAML
	k rollout status "deployment/$name" --timeout=60s
}
pod_of() { k get pods -l "app=$1" --field-selector status.phase=Running -o jsonpath='{.items[0].metadata.name}'; }
