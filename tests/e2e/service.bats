# Service addresses on three nodes.
bats_require_minimum_version 1.5.0
load lib

setup_file() { load lib; sandbox service --nodes 3; web web 2; k run client --image=tools:1 --restart=Never -- sleep 3600; k wait --for=condition=Ready pod/client --timeout=30s; }
teardown_file() { load lib; sandbox_down; }

# The answers of 200 requests, one line each, are all there, and each replica gave between 35 and 65 % of them.
balanced() {
	local file=$1
	[ "$(wc -l <"$file")" = 200 ] || { echo "$(wc -l <"$file") answers"; return 1; }
	[ "$(sort -u "$file" | wc -l)" = 2 ] || { sort "$file" | uniq -c; return 1; }
	sort "$file" | uniq -c | awk '$1 < 70 || $1 > 130 { bad = 1 } { print } END { exit bad }'
}

@test "200 requests through the ClusterIP from a third pod" {
	ip=$(k get service web -o jsonpath='{.spec.clusterIP}')
	k exec client -- sh -c "for i in \$(seq 200); do curl -s --max-time 5 http://$ip/; done" >"$BATS_TEST_TMPDIR/answers"
	balanced "$BATS_TEST_TMPDIR/answers"
}

@test "200 requests through the NodePort of every node" {
	port=$(k get service web -o jsonpath='{.spec.ports[0].nodePort}')
	for ip in $(k get nodes -o jsonpath='{.items[*].status.addresses[?(@.type=="InternalIP")].address}'); do
		on 1 sh -c "for i in \$(seq 200); do curl -s --max-time 5 http://$ip:$port/; done" >"$BATS_TEST_TMPDIR/answers"
		balanced "$BATS_TEST_TMPDIR/answers"
	done
}

@test "a pod reaches itself through its Service" {
	k run self --image=tools:1 --labels app=self --port=80 -- socat TCP-LISTEN:80,fork,reuseaddr 'SYSTEM:echo to myself'
	k expose pod self --port=80
	k wait --for=condition=Ready pod/self --timeout=30s
	ip=$(k get service self -o jsonpath='{.spec.clusterIP}')
	until_ok 10 sh -c "$CLIENTS/kubectl exec self -- socat -u TCP:$ip:80,connect-timeout=3 - | grep 'to myself'"
}

@test "ClientIP affinity keeps a client at one endpoint" {
	k patch service web -p '{"spec":{"sessionAffinity":"ClientIP"}}'
	ip=$(k get service web -o jsonpath='{.spec.clusterIP}')
	sleep 0.5
	k exec client -- sh -c "for i in \$(seq 20); do curl -s --max-time 5 http://$ip/; done" >"$BATS_TEST_TMPDIR/answers"
	equals 1 sh -c "sort -u $BATS_TEST_TMPDIR/answers | wc -l"
	k patch service web -p '{"spec":{"sessionAffinity":"None"}}'
}

@test "several ports, UDP and TCP" {
	k apply -f - <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: echo, labels: {app: echo}}
spec:
  containers:
  - {name: udp, image: "tools:1", command: [socat, "UDP-LISTEN:5353,fork", "SYSTEM:echo udp answer"]}
  - {name: tcp, image: "tools:1", command: [socat, "TCP-LISTEN:7,fork,reuseaddr", "SYSTEM:echo tcp answer"]}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  selector: {app: echo}
  ports:
  - {name: u, port: 53, targetPort: 5353, protocol: UDP}
  - {name: t, port: 77, targetPort: 7, protocol: TCP}
YAML
	k wait --for=condition=Ready pod/echo --timeout=30s
	ip=$(k get service echo -o jsonpath='{.spec.clusterIP}')
	until_ok 10 sh -c "$CLIENTS/kubectl exec client -- socat -u TCP:$ip:77,connect-timeout=3 - | grep 'tcp answer'"
	until_ok 20 sh -c "$CLIENTS/kubectl exec client -- sh -c 'echo q | timeout 3 socat -t 1 - UDP:$ip:53' | grep 'udp answer'"
}

@test "a Service without endpoints refuses at once" {
	k create service clusterip nobody --tcp=80:80
	ip=$(k get service nobody -o jsonpath='{.spec.clusterIP}')
	sleep 0.5
	start=$(date +%s%N)
	run -7 on 1 curl -s --max-time 5 "http://$ip/"
	[ $((($(date +%s%N) - start) / 1000000)) -lt 1500 ]
}
