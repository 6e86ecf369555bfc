#!/usr/bin/env bash
# Prints the first Python interpreter that can make our environment: version 3.11 to 3.13, with venv and
# ensurepip, and one that really runs (a version manager's shim may be on PATH without its interpreter).
# PYTHON=/path/to/python3 overrides the search.
set -euo pipefail

# Prints nothing and succeeds when $1 fits, else prints why not and fails.
fits() {
    "$1" - 2>/dev/null <<'PY'
import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.implementation.name != "cpython":
    print(f"is {sys.implementation.name} {sys.version.split()[0]}")
    raise SystemExit(1)
try:
    import ensurepip, venv
except ImportError as error:
    print(f"has no module {error.name} (Debian: apt-get install python3-venv)")
    raise SystemExit(1)
PY
}

rejected=""

consider() {
    local reason
    if reason=$(fits "$1"); then
        printf '%s\n' "$1"
        exit 0
    fi
    rejected+="  $1 ${reason:-does not run}"$'\n'
}

if [[ -n "${PYTHON:-}" ]]; then
    given=$(command -v "$PYTHON") || given=$PYTHON
    consider "$given"
else
    IFS=: read -r -a folders <<<"$PATH"
    for name in python3.13 python3.12 python3.11 python3; do
        for folder in "${folders[@]}"; do
            if [[ -x "$folder/$name" && ! -d "$folder/$name" ]]; then
                consider "$folder/$name"
            fi
        done
    done
fi

{
    echo "No fitting Python found. Yunhan needs CPython 3.11, 3.12 or 3.13 with venv:"
    echo "  Debian, Ubuntu:  apt-get install python3 python3-venv"
    echo "  macOS:           brew install python@3.13"
    echo "or name one:       make run PYTHON=/path/to/python3.13"
    if [[ -n "$rejected" ]]; then
        printf 'Looked at:\n%s' "$rejected"
    fi
} >&2
exit 1
