#!/bin/bash
# Coracle's first voyage: sets up, builds, starts a cluster in a sandbox on this machine, creates two nginx replicas behind one address and
# asks them twenty times. `./demo.sh down` removes the cluster. Needs root, and Debian 12 or later.
set -euo pipefail
cd "$(dirname "$0")"
name=demo
coracle=build/coracle
kubectl="$coracle kubectl"
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

if [ "${1:-}" = down ]; then
	exec $coracle sandbox down --name $name
fi
[ "$(id -u)" = 0 ] || { echo "run me as root: sudo ./demo.sh" >&2; exit 1; }
begin=$(date +%s.%N)
since() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { printf "%.2f", b - a }'; }

say "1. Set-up: Debian packages, the program, two images"
tools/deps.sh
mkdir -p build
tools/build.sh
tools/images.sh
ls -lh $coracle | awk '{ print "   coracle: " $5 }'
setup=$(since "$begin")

say "2. A cluster of one node"
[ -d /var/lib/coracle-sandboxes/$name ] && $coracle sandbox down --name $name
t=$(date +%s.%N)
$coracle sandbox up --name $name --image build/images/nginx.tar --image build/images/busybox.tar | tee build/demo.out
up=$(since "$t")
KUBECONFIG=$(sed -n 's/^kubeconfig: //p' build/demo.out)
export KUBECONFIG

say "3. kubectl create -f examples/nginx-deployment.yaml"
t=$(date +%s.%N)
$kubectl create -f examples/nginx-deployment.yaml
$kubectl rollout status deployment/nginx --timeout=60s
ready=$(since "$t")

ip=$($kubectl get service nginx -o jsonpath='{.spec.clusterIP}')
node=$($kubectl get nodes -o jsonpath='{.items[0].status.addresses[0].address}')
ask() { $coracle sandbox exec --name $name -- curl -sS --max-time 5 "$1"; }
say "4. Ten requests to the Service's address http://$ip, ten to the node's port http://$node:30080"
for i in $(seq 10); do printf '   %2d  %-22s %s\n' "$i" "$ip:80" "$(ask "http://$ip/")"; done
for i in $(seq 11 20); do printf '   %2d  %-22s %s\n' "$i" "$node:30080" "$(ask "http://$node:30080/")"; done

say "5. What there is now"
$kubectl get nodes,deployments,replicasets,pods,services,endpointslices -o wide

pss=0
space=$(readlink "/proc/$(sed -E 's/.*"pid":([0-9]+).*/\1/' /var/lib/coracle-sandboxes/$name/state.json)/ns/pid")
for p in $(pgrep -x coracle); do
	[ "$(readlink "/proc/$p/ns/pid" 2>/dev/null)" = "$space" ] || continue # of another cluster
	n=$(awk '/^Pss:/ { print $2 }' /proc/"$p"/smaps_rollup 2>/dev/null || echo 0)
	pss=$((pss + ${n:-0}))
done
say "set-up $setup s | cluster up $up s | created to Ready $ready s | all in all $(since "$begin") s | memory of all components $((pss / 1024)) MB (PSS)"
echo "KUBECONFIG=$KUBECONFIG $kubectl get pods    # look around"
echo "./demo.sh down                              # and remove everything"
