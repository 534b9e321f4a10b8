#!/usr/bin/env bats
# The CRI server end to end, over its socket. Run by run.sh.

IMAGES=$WORK/images
PARENT=$TEST_CGROUP/pod

cri() { "$CRI_CALL" /run/cri.sock "$@"; }
# The first text of that name in a JSON answer.
text() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -1; }
field() { grep -o "\"$1\":[^,}]*" | head -1 | cut -d: -f2- | tr -d '"'; }

serve() {
	"$CORACLE" runtime --root "$WORK/root" --state /run/cor --socket /run/cri.sock --cni-conf-dir /run/net.d --cni-bin-dir /run/bin >> "$WORK/log" 2>&1 3>&- &
	echo $! > "$WORK/pid"
	for _ in $(seq 250); do
		cri Version > /dev/null 2>&1 && return
		sleep 0.02
	done
	cat "$WORK/log"
	return 1
}

slay() {
	kill -9 "$(cat "$WORK/pid")"
	while kill -0 "$(cat "$WORK/pid")" 2> /dev/null; do sleep 0.01; done
}

# sandbox NAME [LINUX-MEMBERS] [CONFIG-MEMBERS]
sandbox() {
	cri RunPodSandbox "{\"config\":{\"metadata\":{\"name\":\"$1\",\"uid\":\"$1-uid\",\"namespace\":\"test\"},\"hostname\":\"$1\",\"log_directory\":\"$WORK/logs/$1\",\"labels\":{\"app\":\"$1\"},\"linux\":{\"cgroup_parent\":\"$PARENT\"${2:+,$2}}${3:+,$3}}}" | text pod_sandbox_id
}
# create SANDBOX NAME COMMAND-JSON [MEMBERS] [IMAGE]
create() {
	cri CreateContainer "{\"pod_sandbox_id\":\"$1\",\"config\":{\"metadata\":{\"name\":\"$2\"},\"image\":{\"image\":\"${5:-busybox:test}\"},\"command\":$3,\"log_path\":\"$2.log\"${4:+,$4}}}" | text container_id
}
start() { cri StartContainer "{\"container_id\":\"$1\"}" > /dev/null; }
status() { cri ContainerStatus "{\"container_id\":\"$1\",\"verbose\":true}"; }
remove() { cri RemovePodSandbox "{\"pod_sandbox_id\":\"$1\"}" > /dev/null; }
wait_end() {
	for _ in $(seq 500); do
		[ "$(status "$1" | field state)" = 2 ] && return
		sleep 0.02
	done
	return 1
}
# Runs a command in a new container to its end and prints its log without times.
once() {
	local c
	c=$(create "$@")
	start "$c"
	wait_end "$c"
	cut -d' ' -f4- "$WORK/logs/$LOGS/$2.log"
}
exec_in() { cri ExecSync "{\"container_id\":\"$1\",\"cmd\":$2,\"timeout\":${3:-10}}"; }
output() { text stdout | base64 -d; }
nothing_left() {
	[ -z "$(ls /run/cor/sandboxes /run/cor/containers /run/cor/oci /run/cor/exits | grep -v : | grep -v '^$')" ]
	[ -z "$(ls "$WORK/root/sandboxes" "$WORK/root/containers" | grep -v : | grep -v '^$')" ]
	! grep -E " /run/cor/| $WORK/root" /proc/self/mounts
	[ -z "$(ls /run/cni/test | grep '^10\.')" ]
	! ip -o link | grep veth
	[ -z "$(find /sys/fs/cgroup -type d -path "*$PARENT/*")" ]
}

setup_file() {
	mkdir -p /run/net.d /run/bin "$IMAGES"
	ln -sf "$CORACLE" /run/bin/coracle-cni
	cat > /run/net.d/10-test.conflist <<- END
		{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"coracle-cni","bridge":"cor0","ipMasq":true,"clusterCIDRs":["10.244.0.0/16"],
		 "ipam":{"ranges":[[{"subnet":"10.244.1.0/24"}]],"dataDir":"/run/cni"},"capabilities":{"portMappings":true}}]}
	END
	"$ROOT/tools/mkimage" "@$ROOT/tools/images/nginx" --tag docker.io/library/nginx:test -o "$IMAGES/nginx.tar"
	"$ROOT/tools/mkimage" "@$ROOT/tools/images/busybox" --tag docker.io/library/busybox:test -o "$IMAGES/busybox.tar"
	mkdir "$IMAGES/busybox" && tar -C "$IMAGES/busybox" -xf "$IMAGES/busybox.tar"
	"$CORACLE" runtime --root "$WORK/root" import "$IMAGES/nginx.tar" "$IMAGES/busybox"
	serve
}

teardown_file() {
	for s in $(cri ListPodSandbox | grep -o '"id":"[0-9a-f]*"' | cut -d'"' -f4); do
		remove "$s"
	done
	kill "$(cat "$WORK/pid")"
	cat "$WORK/log" >&3 || true
}

@test "images: listed, found by every name, refused when they are none" {
	run cri ListImages
	[[ "$output" == *docker.io/library/nginx:test* && "$output" == *docker.io/library/busybox:test* ]]
	id=$(cri ImageStatus '{"image":{"image":"nginx:test"}}' | text id)
	[[ "$id" == sha256:* ]]
	[ "$(cri ImageStatus "{\"image\":{\"image\":\"$id\"}}" | text id)" = "$id" ]
	[ "$(cri ImageStatus '{"image":{"image":"nosuch"}}')" = "{}" ]
	run "$CORACLE" runtime --root "$WORK/root" import /etc/passwd
	[ "$status" -eq 1 ]
}

@test "a pod: address, host name, DNS, logs, exec, statistics, stop by the image's signal" {
	s=$(sandbox web "" '"dns_config":{"servers":["10.96.0.10"],"searches":["a.svc","b"],"options":["ndots:5"]}')
	ip=$(cri PodSandboxStatus "{\"pod_sandbox_id\":\"$s\"}" | text ip)
	[[ "$ip" == 10.244.1.* ]]
	[ "$(cri PodSandboxStatus "{\"pod_sandbox_id\":\"$s\",\"verbose\":true}" | text cniCheck)" = ok ]
	c=$(create "$s" nginx '[]' '"linux":{"resources":{"memory_limit_in_bytes":67108864,"cpu_shares":102},"security_context":{"seccomp":{"profile_type":0},"namespace_options":{"pid":1}}}' nginx:test)
	start "$c"
	curl -s --retry 20 --retry-delay 0 --retry-all-errors -m 5 "http://$ip/" | grep -q "Welcome to nginx"
	grep -q "stdout F .*GET /" "$WORK/logs/web/nginx.log"
	[ "$(exec_in "$c" '["hostname"]' | output)" = web ]
	[ "$(exec_in "$c" '["cat","/etc/resolv.conf"]' | output)" = "$(printf 'search a.svc b\nnameserver 10.96.0.10\noptions ndots:5')" ]
	[ "$(exec_in "$c" '["sh","-c","exit 7"]' | field exit_code)" = 7 ]
	run exec_in "$c" '["sleep","20"]' 1
	[[ "$status" -eq 4 && "$output" == DeadlineExceeded:* ]]
	run exec_in "$c" '["nosuch"]'
	[[ "$status" -eq 2 && "$output" == *"not found"* ]]
	cri ContainerStats "{\"container_id\":\"$c\"}" | grep -q '"usage_core_nano_seconds":{"value":[1-9]'
	cri PodSandboxStats "{\"pod_sandbox_id\":\"$s\"}" | grep -q '"name":"eth0","rx_bytes":{"value":[1-9]'
	cri UpdateContainerResources "{\"container_id\":\"$c\",\"linux\":{\"memory_limit_in_bytes\":134217728}}"
	cat /sys/fs/cgroup/memory/$PARENT/$c/memory.limit_in_bytes /sys/fs/cgroup/$PARENT/$c/memory.max 2> /dev/null | grep -q 134217728
	mv "$WORK/logs/web/nginx.log" "$WORK/logs/web/nginx.log.1"
	cri ReopenContainerLog "{\"container_id\":\"$c\"}"
	curl -s -m 2 "http://$ip/again" > /dev/null
	grep -q "GET /again" "$WORK/logs/web/nginx.log"
	cri StopContainer "{\"container_id\":\"$c\",\"timeout\":10}"
	[[ "$(status "$c")" == *'"reason":"Completed"'* && "$(status "$c")" != *exit_code* ]]
	remove "$s"
	remove "$s"
	nothing_left
}

@test "how containers end: exit code, signal, memory, a command that is none" {
	LOGS=ends
	s=$(sandbox ends)
	c=$(create "$s" three '["sh","-c","echo out; echo err >&2; exit 3"]')
	start "$c"
	wait_end "$c"
	[[ "$(status "$c")" == *'"exit_code":3'*'"reason":"Error"'* ]]
	grep -q "stdout F out" "$WORK/logs/ends/three.log"
	grep -q "stderr F err" "$WORK/logs/ends/three.log"
	c=$(create "$s" forever '["sleep","1000"]')
	start "$c"
	cri StopContainer "{\"container_id\":\"$c\",\"timeout\":1}"
	[[ "$(status "$c")" == *'"exit_code":137'* ]]
	c=$(create "$s" greedy '["sh","-c","x=a; while true; do x=$x$x; done"]' '"linux":{"resources":{"memory_limit_in_bytes":16777216}}')
	start "$c"
	wait_end "$c"
	[[ "$(status "$c")" == *'"exit_code":137'*'"reason":"OOMKilled"'* ]]
	c=$(create "$s" bad '["nosuch"]')
	run start "$c"
	[ "$status" -eq 2 ]
	[[ "$(status "$c")" == *'"exit_code":128'*'"reason":"StartError"'* ]]
	run start "$c"
	[[ "$output" == *"is in CONTAINER_EXITED state"* ]]
	remove "$s"
	nothing_left
}

@test "who a container is: users, groups, capabilities, privileges" {
	LOGS=who
	s=$(sandbox who)
	[ "$(once "$s" root '["id"]')" = "uid=0(root) gid=0(root) groups=0(root)" ]
	[ "$(once "$s" uid '["id"]' '"linux":{"security_context":{"run_as_user":{"value":1000},"run_as_group":{"value":2000},"supplemental_groups":[3000]}}')" = "uid=1000 gid=2000 groups=2000,3000" ]
	[ "$(once "$s" name '["id","-un"]' '"linux":{"security_context":{"run_as_username":"nobody"}}')" = nobody ]
	run create "$s" nobody '["id"]' '"linux":{"security_context":{"run_as_username":"nosuch"}}'
	[[ "$output" == *"unable to find user nosuch: no matching entries in passwd file"* ]]
	[ "$(once "$s" caps '["sh","-c","grep CapEff /proc/self/status"]')" = "CapEff:	00000000a80425fb" ]
	[ "$(once "$s" nocaps '["sh","-c","grep CapBnd /proc/self/status"]' '"linux":{"security_context":{"capabilities":{"drop_capabilities":["ALL"],"add_capabilities":["NET_BIND_SERVICE"]}}}')" = "CapBnd:	0000000000000400" ]
	[[ "$(once "$s" nnp '["sh","-c","grep -E \"NoNewPrivs|Seccomp:\" /proc/self/status"]' '"linux":{"security_context":{"no_new_privs":true,"seccomp":{"profile_type":0}}}')" == *"NoNewPrivs:	1"*"Seccomp:	2"* ]]
	[[ "$(once "$s" ro '["sh","-c","touch /x || echo refused"]' '"linux":{"security_context":{"readonly_rootfs":true}}')" == *refused* ]]
	[[ "$(once "$s" unshare '["sh","-c","unshare -m true || echo refused; mknod /dev/kmem c 1 2; cat /dev/kmem || echo denied"]' '"linux":{"security_context":{"seccomp":{"profile_type":0}}}')" == *refused*denied* ]]
	[[ "$(once "$s" masked '["sh","-c","cat /proc/timer_list | wc -c; echo 1 > /proc/sys/kernel/sysrq || echo refused"]' '"linux":{"security_context":{"masked_paths":["/proc/timer_list"],"readonly_paths":["/proc/sys"]}}')" == *refused* ]]
	[[ "$(once "$s" priv '["sh","-c","mount -t tmpfs x /mnt 2>&1 || mkdir /mnt && mount -t tmpfs x /mnt && echo mounted; ls /dev/kmsg"]' '"linux":{"security_context":{"privileged":true}}')" == *mounted*kmsg* ]]
	run create "$s" armor '["id"]' '"linux":{"security_context":{"apparmor":{"profile_type":2,"localhost_ref":"x"}}}'
	[[ "$output" == *"apparmor is not supported"* ]]
	remove "$s"
	nothing_left
}

@test "mounts: read-only, inner after outer, made on demand, environment and working directory" {
	LOGS=mounts
	s=$(sandbox mounts)
	mkdir -p "$WORK/vol/sub" "$WORK/inner"
	echo outer > "$WORK/vol/file"
	echo inner > "$WORK/inner/file"
	[ "$(once "$s" order '["sh","-c","cat /v/file /v/sub/file; touch /v/x 2>/dev/null || echo ro; touch /v/sub/x && echo rw"]' "\"mounts\":[{\"container_path\":\"/v/sub\",\"host_path\":\"$WORK/inner\"},{\"container_path\":\"/v\",\"host_path\":\"$WORK/vol\",\"readonly\":true}]")" = "$(printf 'outer\ninner\nro\nrw')" ]
	[ -e "$WORK/inner/x" ]
	[ "$(once "$s" new '["sh","-c","ls -d /n && echo $A-$HOSTNAME; pwd"]' "\"mounts\":[{\"container_path\":\"/n\",\"host_path\":\"$WORK/new/dir\"}],\"envs\":[{\"key\":\"A\",\"value\":\"$(printf b | base64)\"}],\"working_dir\":\"/made/here\"")" = "$(printf '/n\nb-mounts\n/made/here')" ]
	mount -t tmpfs below "$WORK/vol/sub"
	[[ "$(once "$s" rro '["sh","-c","touch /v/sub/x || echo refused"]' "\"mounts\":[{\"container_path\":\"/v\",\"host_path\":\"$WORK/vol\",\"readonly\":true,\"recursive_read_only\":true}]")" == *refused* ]]
	umount "$WORK/vol/sub"
	run create "$s" rel '["true"]' '"mounts":[{"container_path":"rel","host_path":"/tmp"}]'
	[ "$status" -ne 0 ] || [ -z "$output" ] || [[ "$output" == *"not absolute"* ]]
	remove "$s"
	nothing_left
}

@test "namespaces: one PID space for a pod, the node's network, its sysctls, host ports" {
	LOGS=shared
	s=$(sandbox shared '"security_context":{"namespace_options":{"pid":0}}')
	a=$(create "$s" a '["sleep","1000"]' '"linux":{"security_context":{"namespace_options":{"pid":0}}}')
	b=$(create "$s" b '["sleep","2000"]' '"linux":{"security_context":{"namespace_options":{"pid":0}}}')
	start "$a"
	start "$b"
	exec_in "$b" '["ps"]' | output | grep -q "sleep 1000"
	exec_in "$b" '["ps"]' | output | grep -Eq "^ +1 .*pause"
	# Nothing of the node can be reached through the pod's first process.
	[ -z "$(exec_in "$b" '["ls","/proc/1/root/etc"]' | output)" ]
	remove "$s"
	s=$(sandbox host '"security_context":{"namespace_options":{"network":2}}')
	LOGS=host
	[[ "$(once "$s" links '["ip","link"]')" == *cor0* ]]
	[[ "$(cri PodSandboxStatus "{\"pod_sandbox_id\":\"$s\"}")" != *'"ip"'* ]]
	remove "$s"
	s=$(sandbox knobs '"sysctls":{"net.core.somaxconn":"777","kernel.shm_rmid_forced":"1"}' '"port_mappings":[{"container_port":80,"host_port":8088}]')
	LOGS=knobs
	[ "$(once "$s" read '["cat","/proc/sys/net/core/somaxconn","/proc/sys/kernel/shm_rmid_forced"]')" = "$(printf '777\n1')" ]
	c=$(create "$s" nginx '[]' "" nginx:test)
	start "$c"
	curl -s --retry 20 --retry-delay 0 --retry-all-errors -m 5 http://127.0.0.1:8088/ | grep -q "Welcome to nginx"
	nft list ruleset | grep -q 8088
	remove "$s"
	! nft list ruleset | grep 8088
	nothing_left
}

@test "exec over WebSocket: streams, terminal, resize, exit status" {
	s=$(sandbox ws)
	c=$(create "$s" main '["sleep","1000"]')
	start "$c"
	url() { cri Exec "{\"container_id\":\"$c\",$1}" | text url; }
	run python3 "$HERE/ws.py" "$(url '"cmd":["sh","-c","cat; echo e >&2; exit 3"],"stdin":true,"stdout":true,"stderr":true')" --stdin 'hello\n'
	[[ "$output" == *"1 hello"*"2 e"*'"reason":"NonZeroExitCode"'*'"message":"3"'* ]]
	run python3 "$HERE/ws.py" "$(url '"cmd":["sh"],"stdin":true,"stdout":true,"tty":true')" --resize 123x45 --stdin 'stty size; exit 5\n'
	[[ "$output" == *"45 123"*'"message":"5"'* ]]
	run python3 "$HERE/ws.py" "$(url '"cmd":["seq","300000"],"stdout":true')" --count
	[[ "$output" == *"bytes 1988895"*'"status":"Success"'* ]]
	run python3 "$HERE/ws.py" "$(url '"cmd":["nosuch"],"stdout":true')"
	[[ "$output" == *'"reason":"InternalError"'* ]]
	once_url=$(url '"cmd":["true"],"stdout":true')
	python3 "$HERE/ws.py" "$once_url" | grep -q Success
	! python3 "$HERE/ws.py" "$once_url"
	run cri Attach "{\"container_id\":\"$c\",\"stdout\":true}"
	[ "$status" -eq 12 ]
	remove "$s"
	nothing_left
}

@test "events: a pod's life as it happens" {
	"$CRI_CALL" /run/cri.sock GetContainerEvents '{}' > "$WORK/events" 2>&1 3>&- &
	listener=$!
	sleep 0.2
	s=$(sandbox events)
	c=$(create "$s" quick '["true"]')
	start "$c"
	wait_end "$c"
	remove "$s"
	sleep 0.2
	kill $listener
	for t in '"container_event_type":1' '"container_event_type":2' '"container_event_type":3'; do
		grep "\"container_id\":\"$c\"" "$WORK/events" | grep -q "$t"
	done
	grep '"container_event_type":2' "$WORK/events" | grep -q '"reason":"Completed"'
}

@test "a restart touches no running container" {
	s=$(sandbox live)
	ip=$(cri PodSandboxStatus "{\"pod_sandbox_id\":\"$s\"}" | text ip)
	c=$(create "$s" nginx '[]' "" nginx:test)
	start "$c"
	e=$(create "$s" soon '["sh","-c","sleep 0.5; exit 9"]')
	start "$e"
	pid=$(status "$c" | text pid)
	slay
	curl -s --retry 20 --retry-delay 0 --retry-all-errors -m 5 "http://$ip/" | grep -q "Welcome to nginx"
	sleep 0.7
	serve
	[ "$(status "$c" | text pid)" = "$pid" ]
	[[ "$(status "$c")" == *'"state":1'* ]]
	# One that ended while nobody looked.
	[[ "$(status "$e")" == *'"state":2'*'"exit_code":9'* ]]
	[ "$(exec_in "$c" '["echo","still"]' | output)" = still ]
	remove "$s"
	nothing_left
}

@test "conmon killed: the container goes on, and its end is seen" {
	s=$(sandbox orphan)
	c=$(create "$s" sleeper '["sleep","1000"]')
	start "$c"
	kill -9 "$(cat /run/cor/containers/$c/conmon.pid)"
	sleep 0.2
	[[ "$(status "$c")" == *'"state":1'* ]]
	kill -9 "$(status "$c" | text pid)"
	wait_end "$c"
	[[ "$(status "$c")" == *'"reason":"Unknown"'* ]]
	remove "$s"
	nothing_left
}

@test "killed at any moment: nothing half done stays, everything can be removed" {
	for i in $(seq 12); do
		{
			s=$(sandbox "crash$i") && c=$(create "$s" main '["sleep","1000"]') && start "$c" && cri StopContainer "{\"container_id\":\"$c\"}" &&
				cri RemovePodSandbox "{\"pod_sandbox_id\":\"$s\"}"
		} > /dev/null 2>&1 3>&- &
		job=$!
		sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
		[ $((i % 3)) -ne 0 ] || sleep 0.1
		slay
		wait $job || true
		serve
	done
	for s in $(cri ListPodSandbox | grep -o '"id":"[0-9a-f]*"' | cut -d'"' -f4); do
		cri StopPodSandbox "{\"pod_sandbox_id\":\"$s\"}"
		remove "$s"
	done
	nothing_left
}

@test "pull: tokens, redirects, an interrupted blob, credentials, what is not there" {
	python3 "$HERE/registry.py" 5000 "$IMAGES/nginx.tar" team/nginx v1 "$WORK/registry.log" > /dev/null 2>&1 3>&- &
	registry=$!
	for _ in $(seq 100); do curl -s http://127.0.0.1:5000/ > /dev/null && break; sleep 0.05; done
	cri RemoveImage '{"image":{"image":"nginx:test"}}'
	for i in 1 2 3; do
		cri PullImage '{"image":{"image":"localhost:5000/team/nginx:v1"}}' > "$WORK/pull$i" 3>&- &
		pulls="${pulls:-} $!"
	done
	for p in $pulls; do wait "$p"; done
	grep -q "image_ref" "$WORK/pull1"
	# Three who asked at once were served by one download, which went on where it had been cut.
	[ "$(grep -c '^/cdn/.* bytes=60000-$' "$WORK/registry.log")" = 1 ]
	[ "$(grep -c '^/cdn/' "$WORK/registry.log")" = 3 ]
	run cri PullImage '{"image":{"image":"localhost:5000/team/nosuch:v9"}}'
	[[ "$status" -eq 5 && "$output" == *"not found"* ]]
	run cri PullImage '{"image":{"image":"localhost:5000/private/nginx:v1"}}'
	[[ "$status" -ne 0 && "$output" == *"pull access denied"* ]]
	cri PullImage '{"image":{"image":"localhost:5000/private/nginx:v1"},"auth":{"username":"user","password":"secret"}}' | grep -q image_ref
	kill $registry
	run cri PullImage '{"image":{"image":"localhost:5000/team/nginx:v2"}}'
	[[ "$output" == *"connection refused"* ]]
	cri RemoveImage '{"image":{"image":"localhost:5000/team/nginx:v1"}}'
	cri RemoveImage '{"image":{"image":"localhost:5000/private/nginx:v1"}}'
	[ "$(ls "$WORK/root/images/layers" | wc -l)" = 1 ]
}
