#!/usr/bin/env bash
# docs/settings.md and python/millwright/_settings.py follow from what `millwright doctor --settings`
# tells: `check` compares, `write` replaces them.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly binary=build/bin/millwright
[[ -x $binary ]] || die "$binary: not built; run make build"
facts=$("$binary" doctor --settings --json)

# page KIND FILE
page() {
  case $mode in
    write) python3 tools/settings_tables.py "$1" <<<"$facts" >"$2" ;;
    check)
      python3 tools/settings_tables.py "$1" <<<"$facts" | diff -u "$2" - ||
        die "$2 does not match include/millwright/settings.hpp; run make docs"
      ;;
  esac
}

readonly mode=${1:-check}
[[ $mode == check || $mode == write ]] || die "settings_tables.sh: expected check or write, got '$mode'"
page docs docs/settings.md
page python python/millwright/_settings.py
