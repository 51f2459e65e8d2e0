#!/usr/bin/env bash
# Tries the oldest versions that pyproject.toml allows: every direct dependency at its lower bound, in a fresh
# environment, in which the command answers, the bundled model predicts, and the quick tests run.
#
#   scripts/try_lowest.sh                       # with python3
#   PYTHON=python3.10 scripts/try_lowest.sh     # with another one
#   scripts/try_lowest.sh tests/weights         # pytest's arguments; without any: -m "not slow"
#
# Needs uv (pip install uv) and some 6 GB of disk in the folder for temporary files (TMPDIR). Where a test fails, raise
# the bound of the package that it fails for, and say in pyproject.toml why.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

uv venv --quiet --python "${PYTHON:-python3}" "$work/env"
# shellcheck disable=SC1091
source "$work/env/bin/activate"
uv pip install --quiet --resolution lowest-direct ".[dev]"
uv pip list

uniref --help >/dev/null
uniref predict examples/street.mp4 --text "the red car" --end 10 --out "$work/out"
test "$(find "$work/out" -path '*/masks/*.png' | wc -l)" -eq 10

if [ $# -eq 0 ]; then
    set -- -m "not slow"
fi
python -m pytest -p no:cacheprovider "$@"
