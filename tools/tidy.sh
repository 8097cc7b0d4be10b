#!/usr/bin/env bash
# Runs clang-tidy 16 over src/ without its tests and op cases, or over the named files, as build/ compiles.
# What passed is not looked at again before it, a header of it, its command or .clang-tidy changes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ $(version_of clang-tidy-16) == 16.* ]] ||
  die "clang-tidy-16: not found; run tools/setup.sh --check-long"
[[ -f build/compile_commands.json ]] || die "build/compile_commands.json: missing; run make build"

# g++ knows warning options that clang does not, and clang 16 cannot capture structured bindings
# under OpenMP.
look_at() {
  clang-tidy-16 -p build/tidy --quiet --extra-arg=-Wno-unknown-warning-option --extra-arg=-fno-openmp \
    --extra-arg=-Wno-unknown-pragmas "$1" && touch "build/tidy/passed/$2"
}
export -f look_at

version=$(clang-tidy-16 --version | grep -i version)$(declare -f look_at)
found=$(python3 tools/tidy_files.py "$version" "$@")
mapfile -t files < <(tr '\t' '\n' <<<"$found" | grep .)
say "clang-tidy over $((${#files[@]} / 2)) files"
[[ ${#files[@]} -gt 0 ]] || exit 0
printf '%s\0' "${files[@]}" | xargs -0 -P "$JOBS" -n 2 bash -c 'look_at "$@"' look_at \
  2> >(grep -vE '^[0-9]+ warnings? |^Suppressed|^Use -header' >&2 || true)
