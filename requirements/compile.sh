#!/usr/bin/env bash
# Compile the lock files: one universal resolution a purpose, with hashes, naming no registry.
set -euo pipefail
uv=$1
flags=(--quiet --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock"
  # xgboost needs NVIDIA's communication library only on GPUs, and it is 300 MB.
  --no-emit-package nvidia-nccl-cu12 --no-emit-package nvidia-nccl-cu13)
"$uv" pip compile bootstrap.in -o bootstrap.lock "${flags[@]}"
"$uv" pip compile ../pyproject.toml ../clients/python/pyproject.toml --all-extras --group ../pyproject.toml:dev -o dev.lock "${flags[@]}"
"$uv" pip compile ../pyproject.toml --extra models -o platform.lock -c dev.lock "${flags[@]}"
"$uv" pip compile ../clients/python/pyproject.toml -o client.lock -c dev.lock "${flags[@]}"
