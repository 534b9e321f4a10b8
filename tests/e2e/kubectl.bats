# Unmodified kubectl 1.35 against a cluster of one node: what people do all day.
bats_require_minimum_version 1.5.0
load lib

setup_file() { load lib; sandbox kubectl; }
teardown_file() { load lib; sandbox_down; }

@test "version, cluster-info, nodes" {
	k version | grep -E '^Server Version: v1\.36'
	k cluster-info | grep -i 'control plane'
	k get nodes -o wide | grep -E 'node-1 +Ready'
}

@test "create -f: the main job's manifest comes up" {
	k create -f "$ROOT/examples/nginx-deployment.yaml"
	k rollout status deployment/nginx --timeout=60s
	equals '2 2 2 2' k get deployment nginx -o jsonpath='{.status.replicas} {.status.updatedReplicas} {.status.readyReplicas} {.status.availableReplicas}'
}

@test "get: table, wide, yaml, json, name, jsonpath, custom columns, watch" {
	k get deployments | grep -E '^nginx +2/2 +2 +2 '
	k get pods -o wide | grep -E '^nginx-[a-z0-9]+-[a-z0-9]+ +1/1 +Running +0 +.* +10\.244\.'
	k get deployment nginx -o yaml | grep -E '^kind: Deployment'
	k get deployment nginx -o json | jq -e '.spec.replicas == 2'
	equals deployment.apps/nginx k get deployment nginx -o name
	equals 2 k get deployment nginx -o jsonpath='{.spec.replicas}'
	k get deployment nginx -o custom-columns=N:.metadata.name,R:.spec.replicas | grep -E '^nginx +2'
	k get all -A | grep service/kubernetes
	timeout 20 "$CLIENTS/kubectl" get deployment nginx -w --output-watch-events >"$BATS_TEST_TMPDIR/watch" &
	watcher=$!
	sleep 0.5
	k annotate deployment nginx note=one
	until_ok 10 grep -q MODIFIED "$BATS_TEST_TMPDIR/watch"
	kill $watcher
}

@test "describe tells events" {
	until_ok 10 sh -c "$CLIENTS/kubectl describe deployment nginx | grep -q ScalingReplicaSet"
	pod=$(pod_of nginx)
	until_ok 10 sh -c "$CLIENTS/kubectl describe pod $pod | grep -q 'Started container nginx\|Container started'"
	k describe pod "$pod" | grep -E '^Status: +Running'
	k describe service nginx | grep -E '^Endpoints: +10\.244\.[0-9.]+:80,10\.244'
	k describe node node-1 | grep -E '^ +Ready +True'
}

@test "logs, logs -f, logs -p" {
	k run talker --image=busybox:1.37 --restart=Always -- sh -c 'echo hello from $$; sleep 1; exit 3'
	until_ok 30 sh -c "$CLIENTS/kubectl logs talker | grep -q 'hello from'"
	until_ok 30 sh -c "[ \$($CLIENTS/kubectl get pod talker -o jsonpath='{.status.containerStatuses[0].restartCount}') -ge 1 ]"
	until_ok 30 sh -c "$CLIENTS/kubectl logs -p talker | grep -q 'hello from'"
	k delete pod talker --grace-period=0 --force
	k run counter --image=busybox:1.37 --restart=Never -- sh -c 'for i in 1 2 3; do echo line $i; sleep 0.3; done'
	until_ok 20 k logs counter
	equals "$(printf 'line 1\nline 2\nline 3')" timeout 30 "$CLIENTS/kubectl" logs -f counter
	equals 'line 3' k logs counter --tail=1
	k delete pod counter
}

@test "exec, exec -i, exec's exit status, cp" {
	pod=$(pod_of nginx)
	equals "$pod" k exec "$pod" -- cat /usr/share/nginx/html/index.html
	equals 'through stdin' sh -c "echo through stdin | $CLIENTS/kubectl exec -i $pod -- cat"
	run -7 k exec "$pod" -- sh -c 'exit 7'
	script -qec "$CLIENTS/kubectl exec -it $pod -- sh -c 'test -t 0 && echo a terminal'" /dev/null | grep 'a terminal'
	seq 50000 >"$BATS_TEST_TMPDIR/numbers"
	k cp "$BATS_TEST_TMPDIR/numbers" "$pod:/tmp/numbers"
	k cp "$pod:/tmp/numbers" "$BATS_TEST_TMPDIR/back"
	cmp "$BATS_TEST_TMPDIR/numbers" "$BATS_TEST_TMPDIR/back"
}

@test "apply, patch, edit through patch, label, annotate" {
	k apply -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1","b":"2"}}'
	k apply -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1","c":"3"}}' | grep configured
	equals '{"a":"1","c":"3"}' k get configmap c -o jsonpath='{.data}'
	k patch configmap c -p '{"data":{"d":"4"}}'
	k patch configmap c --type=merge -p '{"data":{"a":null}}'
	k patch configmap c --type=json -p '[{"op":"replace","path":"/data/c","value":"5"}]'
	equals '{"c":"5","d":"4"}' k get configmap c -o jsonpath='{.data}'
	printf '#!/bin/sh\nsed -i "s/^  d: .*/  d: edited/" "$1"\n' >"$BATS_TEST_TMPDIR/editor"
	chmod +x "$BATS_TEST_TMPDIR/editor"
	EDITOR=$BATS_TEST_TMPDIR/editor k edit configmap c
	equals edited k get configmap c -o jsonpath='{.data.d}'
	k label configmap c tier=x
	equals configmap/c k get configmap -l tier=x -o name
	k delete configmap c
}

@test "scale, set image, rollout status, history, undo" {
	k scale deployment nginx --replicas=3
	k rollout status deployment/nginx --timeout=60s
	k scale deployment nginx --replicas=2
	k set image deployment/nginx nginx=nginx:latest
	k rollout status deployment/nginx --timeout=60s
	equals 2 sh -c "$CLIENTS/kubectl rollout history deployment/nginx | grep -cE '^[0-9]+ '"
	k rollout undo deployment/nginx
	k rollout status deployment/nginx --timeout=60s
	equals nginx:1.29 k get deployment nginx -o jsonpath='{.spec.template.spec.containers[0].image}'
	equals 3 k get deployment nginx -o jsonpath='{.metadata.annotations.deployment\.kubernetes\.io/revision}'
	k rollout restart deployment/nginx
	k rollout status deployment/nginx --timeout=60s
}

@test "wait, api-resources, api-versions, explain, auth can-i" {
	k wait --for=condition=Available deployment/nginx --timeout=30s
	k api-resources | grep -E '^deployments +deploy +apps/v1 +true +Deployment'
	k api-versions | grep -x apps/v1
	k explain deployment.spec.strategy | grep rollingUpdate
	equals yes k auth can-i delete pods
	run -1 k auth can-i delete pods --as=somebody
	k create serviceaccount viewer
	k create rolebinding viewer --clusterrole=view --serviceaccount=default:viewer
	equals yes k auth can-i list pods --as=system:serviceaccount:default:viewer
	run -1 k auth can-i delete pods --as=system:serviceaccount:default:viewer
}

@test "delete with each propagation policy" {
	for policy in background foreground orphan; do
		web d$policy 1
		uid=$(k get replicasets -l app=d$policy -o jsonpath='{.items[0].metadata.uid}')
		k delete deployment d$policy --cascade=$policy
		if [ $policy = orphan ]; then
			equals 1 sh -c "$CLIENTS/kubectl get replicasets -l app=d$policy -o name | wc -l"
			equals '' k get replicasets -l app=d$policy -o jsonpath='{.items[0].metadata.ownerReferences}'
			k delete replicasets -l app=d$policy
		fi
		until_ok 40 sh -c "[ -z \"\$($CLIENTS/kubectl get pods,replicasets -l app=d$policy -o name)\" ]"
		k delete service d$policy
	done
}

@test "a namespace goes with all that is in it" {
	k create namespace short
	k -n short create configmap c --from-literal=a=b
	k -n short create deployment d --image=nginx:1.29
	k delete namespace short --timeout=60s
	run -1 k get namespace short
	[[ "$output" = *'namespaces "short" not found'* ]]
}

@test "a service account's token opens the API from within a pod" {
	k create rolebinding pods --clusterrole=view --serviceaccount=default:default
	k run inside --image=nginx:1.29 --restart=Never -- sh -c 'ls /var/run/secrets/kubernetes.io/serviceaccount; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; sleep 30'
	until_ok 20 sh -c "$CLIENTS/kubectl logs inside | grep -q token"
	token=$(k exec inside -- cat /var/run/secrets/kubernetes.io/serviceaccount/token)
	server=$(k config view -o jsonpath='{.clusters[0].cluster.server}')
	equals 200 curl -sk -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" "$server/api/v1/namespaces/default/pods"
	equals 403 curl -sk -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" "$server/api/v1/namespaces/default/secrets"
	k delete pod inside --grace-period=0 --force
}

@test "configMap, secret, downward API and emptyDir volumes" {
	k create configmap conf --from-literal=key=value
	k create secret generic sec --from-literal=pass=word
	k apply -f - <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: vols, labels: {x: "y"}}
spec:
  restartPolicy: Never
  initContainers:
  - {name: init, image: busybox:1.37, command: [sh, -c, "echo made > /scratch/file"], volumeMounts: [{name: scratch, mountPath: /scratch}]}
  containers:
  - name: main
    image: busybox:1.37
    command: [sh, -c, "cat /conf/key /sec/pass /scratch/file; cat /info/labels; echo; echo $FROM_CONF $NODE $LIMIT"]
    env:
    - {name: FROM_CONF, valueFrom: {configMapKeyRef: {name: conf, key: key}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    resources: {limits: {memory: 64Mi}}
    volumeMounts:
    - {name: conf, mountPath: /conf}
    - {name: sec, mountPath: /sec}
    - {name: scratch, mountPath: /scratch}
    - {name: info, mountPath: /info}
  volumes:
  - {name: conf, configMap: {name: conf}}
  - {name: sec, secret: {secretName: sec}}
  - {name: scratch, emptyDir: {}}
  - {name: info, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
YAML
	k wait --for=jsonpath='{.status.phase}'=Succeeded pod/vols --timeout=30s
	equals "$(printf 'valuewordmade\nx="y"\nvalue node-1 64')" k logs vols
	k delete pod vols
}
