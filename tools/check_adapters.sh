#!/usr/bin/env bash
# Has PEFT and mlx-lm open what `millwright train` writes of adapters, and the other way round.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

tools/setup.sh --adapters
tools/build.sh release millwright_cli
exec "$ADAPTERS_VENV/bin/python" tools/check_adapters.py "$@"
