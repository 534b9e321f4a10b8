#!/usr/bin/env bats
# The CNI plugin by its specification, without the server. Run by run.sh.

DATA=/run/cni-alone

conf() { echo "{\"cniVersion\":\"${VERSION:-1.1.0}\",\"name\":\"alone\",\"type\":\"coracle-cni\",\"bridge\":\"alone0\",\"ipMasq\":true,\"ipam\":{\"ranges\":[[{\"subnet\":\"10.77.0.0/28\"}],[{\"subnet\":\"fd77::/120\"}]],\"dataDir\":\"$DATA\"}${1:+,$1}}"; }
# cni COMMAND ID [MEMBERS]
cni() { conf "${3:-}" | CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=/run/ns-$2 CNI_IFNAME=eth0 /run/bin/coracle-cni; }
namespace() { touch "/run/ns-$1" && unshare --net="/run/ns-$1" true; }

setup_file() {
	mkdir -p /run/bin
	ln -sf "$CORACLE" /run/bin/coracle-cni
}

teardown() {
	for ns in /run/ns-*; do
		umount "$ns" 2> /dev/null && rm "$ns"
	done
	ip link del alone0 2> /dev/null || true
	nft delete table inet coracle_cni_alone0 2> /dev/null || true
	rm -rf "$DATA"
}

@test "version, and what is refused" {
	run cni VERSION x
	[[ "$output" == *'"supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]'* ]]
	for bad in '"bridge":"a/b"' '"ipam":{}' '"mtu":-1' '"clusterCIDRs":["x"]' '"name":"../x"' '"runtimeConfig":{"portMappings":[{"hostPort":99999,"containerPort":1}]}'; do
		run cni ADD a "$bad"
		[[ "$status" -eq 1 && "$output" == *'"code":7'* ]]
	done
	VERSION=0.1.0 run cni ADD a
	[[ "$status" -eq 1 && "$output" == *'"code":1,'* ]]
	run cni ADD a
	[[ "$status" -eq 1 && "$output" == *'"code":3,'* ]]
	CNI_COMMAND=ADD run /run/bin/coracle-cni <<< "{"
	[[ "$status" -eq 1 && "$output" == *'"code":6'* ]]
	[ -z "$(ls "$DATA" 2> /dev/null)" ]
}

@test "two pods reach each other and the gateway in both families, twice deleted is once" {
	namespace a
	namespace b
	a=$(cni ADD a)
	cni ADD b
	[[ "$a" == *'"address":"10.77.0.2/32","gateway":"10.77.0.1"'*'"address":"fd77::2/128"'* ]]
	nsenter --net=/run/ns-a python3 -c 'import socket; s = socket.socket(); s.settimeout(2)
try: s.connect(("10.77.0.3", 9))
except ConnectionRefusedError: pass'
	nsenter --net=/run/ns-a python3 -c 'import socket; s = socket.socket(socket.AF_INET6); s.settimeout(2)
try: s.connect(("fd77::3", 9))
except ConnectionRefusedError: pass'
	cni CHECK a "\"prevResult\":$a"
	nsenter --net=/run/ns-a ip addr del 10.77.0.2/32 dev eth0
	run cni CHECK a "\"prevResult\":$a"
	[[ "$status" -eq 1 && "$output" == *"has no address 10.77.0.2/32"* ]]
	cni STATUS x
	cni DEL a
	cni DEL a
	umount /run/ns-b
	cni DEL b
	! ip -o link | grep veth
	[ -z "$(ls "$DATA/alone" | grep -E '^(10|fd)')" ]
}

@test "addresses run out with code 11, garbage is collected" {
	for i in $(seq 13); do
		namespace "n$i"
		cni ADD "n$i" > /dev/null
	done
	namespace n14
	run cni ADD n14
	[[ "$status" -eq 1 && "$output" == *'"code":11'* ]]
	[ -z "$(nsenter --net=/run/ns-n14 ip -o link show eth0 2> /dev/null)" ]
	cni GC x '"cni.dev/valid-attachments":[{"containerID":"n3","ifname":"eth0"}]'
	[ "$(ls "$DATA/alone" | grep -c '^10\.')" = 1 ]
	[ "$(ip -o link | grep -c veth)" = 1 ]
	cni ADD n14 > /dev/null
}

@test "results of every version" {
	namespace v
	for v in 0.3.0 0.3.1 0.4.0; do
		VERSION=$v run cni ADD v
		[[ "$status" -eq 0 && "$output" == *"\"cniVersion\":\"$v\""*'"version":"4"'* ]]
		VERSION=$v cni DEL v
	done
	VERSION=1.0.0 run cni ADD v
	[[ "$status" -eq 0 && "$output" != *'"version":"4"'* ]]
}
