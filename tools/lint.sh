#!/usr/bin/env bash
# Every check that needs no test run: formatting, layers, sizes, the files that docs name, tables
# of ops and of settings, clippy. All run.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

failed=()
check() {
  local name=$1
  shift
  printf '%-12s' "$name"
  if output=$("$@" 2>&1); then
    echo "ok${output:+ ($(tail -n 1 <<<"$output"))}"
  else
    echo "FAILED"
    tail -n 60 <<<"$output" | sed 's/^/  /'
    failed+=("$name")
  fi
}

check format tools/format.sh --check
check layers python3 tools/check_layers.py
check sizes python3 tools/check_size.py
check self-tests bash -c \
  'python3 tools/check_layers.py --self-test && python3 tools/check_size.py --self-test &&
   python3 tools/check_docs.py --self-test'
check docs python3 tools/check_docs.py
check ops tools/ops_table.sh check
check settings tools/settings_tables.sh check
check clippy tools/rust.sh lint
if [[ ${#failed[@]} -gt 0 ]]; then die "lint: ${failed[*]}"; fi
