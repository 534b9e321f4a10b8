#!/bin/bash
# What a node costs: memory (sum of PSS), idle CPU, start-up, installed size. Bounds are those of the main job; --check fails when one is missed.
#   bench/footprint.sh [--check]
set -euo pipefail
cd "$(dirname "$0")/.."
coracle=build/coracle
name=footprint
check=${1:-}
bad=0
report() { # text value bound
	printf '%-52s %10s   (at most %s)\n' "$1" "$2" "$3"
	awk -v v="$2" -v b="$3" 'BEGIN { exit !(v > b) }' && bad=1
	return 0
}
[ -d /var/lib/coracle-sandboxes/$name ] && $coracle sandbox down --name $name
out=$($coracle sandbox up --name $name --image build/images/nginx.tar)
trap '$coracle sandbox down --name $name' EXIT
KUBECONFIG=$(sed -n 's/^kubeconfig: //p' <<<"$out")
export KUBECONFIG
up=$(sed -nE 's/.*Ready after ([0-9.]+) s.*/\1/p' <<<"$out")
until $coracle kubectl get serviceaccount default >/dev/null 2>&1; do sleep 0.05; done
t=$(date +%s%N)
$coracle kubectl create -f examples/nginx-deployment.yaml >/dev/null
until [ "$($coracle kubectl get deployment nginx -o jsonpath='{.status.readyReplicas}')" = 2 ]; do sleep 0.02; done
created=$(awk -v a="$t" -v b="$(date +%s%N)" 'BEGIN { printf "%.2f", (b - a) / 1e9 }')
sleep 15 # to rest
# The processes of this sandbox: those of its first process's PID namespace.
space=$(readlink "/proc/$(sed -E 's/.*"pid":([0-9]+).*/\1/' /var/lib/coracle-sandboxes/$name/state.json)/ns/pid")
in_space() { local p; for p in $(pgrep -x "$1"); do [ "$(readlink "/proc/$p/ns/pid" 2>/dev/null)" = "$space" ] && echo "$p"; done; true; }
ours() { in_space coracle; }
ticks() { local n=0 p; for p in $(ours); do n=$((n + $(awk '{ print $14 + $15 }' "/proc/$p/stat" 2>/dev/null || echo 0))); done; echo $n; }
a=$(ticks)
sleep 20
b=$(ticks)
cpu=$(awk -v t=$((b - a)) -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f", t / hz / 20 * 100 }')
total=0
for p in $(ours); do
	n=$(awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup")
	printf '  %-50s %7d KiB\n' "$(tr '\0' ' ' <"/proc/$p/cmdline" | awk '{ print $2 }')" "$n"
	total=$((total + n))
done
others=0
for p in $(in_space conmon); do others=$((others + $(awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup" 2>/dev/null || echo 0))); done
printf '  %-50s %7d KiB\n' "conmon (not counted below)" "$others"
report 'memory of all components, two replicas (MB, PSS)' "$(awk -v t="$total" 'BEGIN { printf "%.1f", t / 1024 }')" 60
report 'idle CPU (% of a core, over 20 s)' "$cpu" 1
report 'sandbox up: exec to node Ready (s)' "$up" 1
report 'manifest created to both replicas Ready (s)' "$created" 2
report 'installed size (MB)' "$(awk -v n="$(stat -c %s $coracle)" 'BEGIN { printf "%.1f", n / 1048576 }')" 8
[ "$check" = --check ] && exit $bad
exit 0
