#!/usr/bin/env bash
# Writes bed/carbonzeus_bed/podresources_pb2.{py,pyi} from podresources.proto.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
"$python" -m grpc_tools.protoc -I "$here" --python_out="$here/../carbonzeus_bed" --pyi_out="$here/../carbonzeus_bed" podresources.proto
