#!/usr/bin/env bash
# Builds for 64-bit ARM and runs the tests under an emulator of that processor, but those that
# tests/not_emulated.txt lists with the reason. They and their number are named at the end.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly BUILD=$ROOT/build-aarch64 LIST=tests/not_emulated.txt
readonly REPORTS=$BUILD/test-reports
readonly EMULATOR=(qemu-aarch64 -L "$ROOT/.deps/aarch64")

# count_tests BINARY FILTER: how many of its tests the filter names.
count_tests() {
  "${EMULATOR[@]}" "$BUILD/bin/$1" --gtest_list_tests --gtest_filter="$2" | grep -c '^  ' || true
}

# Lines `TEST | FILTER | REASON`: of one ctest entry all, or what a filter of gtest names.
entries='^$' filter='' left_out=0 told=()
while IFS='|' read -r name pattern reason; do
  read -r name <<<"$name"
  [[ -n $name && $name != '#'* ]] || continue
  read -r pattern <<<"$pattern"
  names+=("$name") patterns+=("$pattern") reasons+=("${reason# }")
  if [[ $pattern == '*' ]]; then entries+="|^$name\$"; else filter+="${filter:+:}$pattern"; fi
done <"$LIST"

tools/build.sh aarch64 mw_tests
rm -rf "$REPORTS"
mkdir -p "$REPORTS/aarch64"
status=0
GTEST_FILTER="*${filter:+-$filter}" GTEST_OUTPUT=xml:$REPORTS/aarch64/ \
  MW_SUMMARY=$REPORTS/aarch64.summary MW_VERIFY=1 OMP_WAIT_POLICY=passive \
  ctest --test-dir "$BUILD" --output-on-failure --no-tests=error --timeout 1800 -j "$JOBS" \
  -LE '^slow$' -E "$entries" || status=1

for i in "${!names[@]}"; do
  if [[ -x $BUILD/bin/${names[i]} ]]; then
    count=$(count_tests "${names[i]}" "${patterns[i]}")
    [[ $count -gt 0 ]] || die "$LIST: ${names[i]} has no test ${patterns[i]}"
  else
    count=1
  fi
  left_out=$((left_out + count))
  told+=("  ${names[i]} ${patterns[i]}: $count, ${reasons[i]}")
done
python3 tools/count_tests.py "$REPORTS" || status=1
say "not run under the emulator: $left_out"
printf '%s\n' "${told[@]}"
exit "$status"
