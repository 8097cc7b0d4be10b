#!/usr/bin/env bash
# docs/ops.md is what `millwright doctor --ops --table` prints, with the number of tests: `check`
# compares, `write` replaces it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly binary=build/bin/millwright tests=build/bin/ops_test table=docs/ops.md
for needed in "$binary" "$tests"; do
  [[ -x $needed ]] || die "$needed: not built; run make build"
done
printed=$(mktemp)
trap 'rm -f "$printed"' EXIT
"$binary" doctor --ops --table |
  python3 tools/op_columns.py "$tests" tests/data/conformance_ops.txt \
    tests/data/gradient_mutants.txt >"$printed"
case ${1:-check} in
  write) cp "$printed" "$table" && chmod 644 "$table" ;;
  check)
    [[ -f $table ]] || die "$table: missing; run make docs"
    diff -u "$table" "$printed" || die "$table does not match the catalog and its tests; run make docs"
    ;;
  *) die "ops_table.sh: expected check or write, got '$1'" ;;
esac
