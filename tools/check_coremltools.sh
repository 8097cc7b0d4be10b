#!/usr/bin/env bash
# Has coremltools load what `millwright convert` and `train` write; the arguments go to check_coremltools.py.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

tools/setup.sh --coremltools
tools/build.sh release millwright_cli
exec "$COREMLTOOLS_VENV/bin/python" tools/check_coremltools.py "$@"
