#!/usr/bin/env bash
# Makes the environment of this clone, or brings it up to date: .venv with the locked packages, and the
# locked npm packages. Each step runs only when what it installs from has changed, and says so once.
#
#   scripts/environment.sh run    what `yunhan up` needs
#   scripts/environment.sh dev    the same, and what tests, checks and benchmarks need
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-run}
python=.venv/bin/python

say() { printf '==> %s\n' "$*"; }

# Runs a step unless its stamp says that it was done with these inputs:
#   once STAMP 'what happens' 'input files' command...
once() {
    local stamp=$1 text=$2 inputs=$3 state
    shift 3
    # shellcheck disable=SC2086  # a list of files
    state=$(cksum $inputs)
    if [[ -f "$stamp" && "$(<"$stamp")" == "$state" ]]; then
        return
    fi
    say "$text"
    "$@"
    printf '%s\n' "$state" >"$stamp"
}

make_venv() {
    local found
    found=$(scripts/find_python.sh)
    say "creating .venv with $("$found" --version) ($found)"
    rm -rf .venv
    "$found" -m venv .venv
}

pip_install() {
    "$python" -m pip install -qq --disable-pip-version-check --no-input "$@"
}

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    make_venv
fi

# The development lock contains the other one: once installed, it is the one to follow.
lock=requirements.lock
if [[ "$kind" == dev || -f .venv/.stamp-requirements-dev.lock ]]; then
    lock=requirements-dev.lock
fi
once ".venv/.stamp-$lock" "installing Python packages ($lock)" \
    "$lock" pip_install --require-hashes -r "$lock"

once .venv/.stamp-package "installing the command .venv/bin/yunhan" \
    pyproject.toml pip_install --no-deps --no-build-isolation -e .

npm_folders=(node_bootstrap)
if [[ "$kind" == dev ]]; then
    npm_folders+=(tests/e2e/sdk tests/egress_clients tests/amqp_clients)
fi
for folder in "${npm_folders[@]}"; do
    once "$folder/node_modules/.stamp" "installing npm packages ($folder/package-lock.json)" \
        "$folder/package.json $folder/package-lock.json" "$python" scripts/npm_ci.py "$folder"
done
