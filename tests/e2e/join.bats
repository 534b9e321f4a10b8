# A machine becomes a node with a token.
bats_require_minimum_version 1.5.0
load lib

setup_file() { load lib; sandbox join --nodes 2 --join; }
teardown_file() { load lib; sandbox_down; }

@test "the second node joined by a signed certificate and runs pods" {
	k get nodes | grep -E '^node-2 +Ready'
	equals 'kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving' sh -c "$CLIENTS/kubectl get csr -o jsonpath='{range .items[*]}{.spec.signerName}{\"\\n\"}{end}' | sort | xargs"
	k run far --image=busybox:1.37 --restart=Never --overrides='{"spec":{"nodeName":"node-2"}}' -- sh -c 'echo from the second node; sleep 60'
	until_ok 20 sh -c "$CLIENTS/kubectl logs far | grep 'from the second node'"
	k delete pod far --grace-period=0 --force
}

@test "a wrong pin and a wrong token are refused" {
	server=$(k config view -o jsonpath='{.clusters[0].cluster.server}')
	run -1 on 1 env "$CORACLE" join "$server" --token abcdef.0123456789abcdef --ca-cert-hash sha256:00 --node-name x
	[[ "$output" = *'this is not the cluster that the token is for'* ]]
	pin=$("$CORACLE" token create --data-dir "/var/lib/coracle-sandboxes/$SANDBOX/node-1/lib" | grep -o 'sha256:[0-9a-f]*')
	run -1 on 1 env "$CORACLE" join "$server" --token abcdef.0123456789abcdef --ca-cert-hash "$pin" --node-name x
	[[ "$output" = *Unauthorized* || "$output" = *'ask for a certificate'* ]]
}
