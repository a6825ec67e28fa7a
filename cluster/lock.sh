#!/bin/sh
# Resolves requirements.lock (CPU), -import, -dev and -gpu.lock from pyproject.toml.
set -eu
cd "$(dirname "$0")/.."
compile() {
  # setuptools builds the editable install; it is locked like everything else.
  echo 'setuptools>=77' | .venv/bin/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes \
    --no-emit-index-url --no-annotate --no-header "$@" pyproject.toml -
}
overrides=$(mktemp)
trap 'rm -f "$overrides"' EXIT
printf "onnxruntime ; python_version < '0'\nfaiss-cpu ; python_version < '0'\nopencv-python ; python_version < '0'\n" >"$overrides"
compile -o requirements.lock
compile --extra import --constraint requirements.lock -o requirements-import.lock
compile --extra dev --constraint requirements.lock -o requirements-dev.lock
compile --extra gpu --constraint requirements.lock --override "$overrides" -o requirements-gpu.lock
