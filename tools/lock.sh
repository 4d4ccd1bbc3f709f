#!/usr/bin/env bash
# Writes the hash-locked requirement files from pyproject.toml. The files carry hashes and no index addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
compile=(uv pip compile pyproject.toml --quiet --generate-hashes --no-emit-find-links --universal --python-version 3.11
  --no-header --no-annotate)
"${compile[@]}" --extra operator --extra agent --extra cli --extra plot --extra optimum --group dev -o requirements/dev.txt "$@"
"${compile[@]}" --extra operator -c requirements/dev.txt -o requirements/operator.txt
"${compile[@]}" --extra agent -c requirements/dev.txt -o requirements/agent.txt
