#!/usr/bin/env bash
# The one definition of passing: every check, in order, up to the first that fails. CI and contributors run this.
#
#   scripts/check.sh            uses python3; set PYTHON to use another interpreter
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-python3}
PYTHON=$(command -v "$PYTHON")
PATH="$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("scripts"))'):$PATH"
export PATH PYTHONPATH="$PWD"

step() {
    local name=$1 began=$SECONDS
    shift
    printf '\n=== %s\n' "$name"
    if ! "$@"; then
        printf '\n=== FAILED: %s\n' "$name" >&2
        exit 1
    fi
    printf '=== %s: passed in %d s\n' "$name" $((SECONDS - began))
}

step "lint (ruff)" ruff check .
step "format (ruff)" ruff format --check .
step "types (pyright)" pyright --pythonpath "$PYTHON"
step "stubs are fresh" "$PYTHON" scripts/make_stubs.py --check
step "import layers (import-linter)" lint-imports
step "tests (pytest, warnings are errors)" "$PYTHON" -m pytest -n 2
step "doctests" "$PYTHON" -m pytest --doctest-modules rushlight

printf '\n=== all checks passed in %d s\n' "$SECONDS"
