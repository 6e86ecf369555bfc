#!/usr/bin/env bash
# Writes the locks anew: the newest fitting versions, for every
# supported Python and system, pinned by hash, with no address in them. Run it with a development
# environment (`make lock`).
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
        --upgrade "$@"
}

# The larger set first, so that both locks hold the same versions.
compile --extra embedded --group dev --output-file requirements-dev.lock
compile --extra embedded --group build --constraint requirements-dev.lock \
    --output-file requirements.lock
# For the image of gateway and worker, which have no embedded database.
compile --group build --constraint requirements-dev.lock \
    --output-file deploy/docker/yunhan/requirements.lock
