#!/usr/bin/env bash
# The checks that take long: clang-tidy, each fuzzer for FUZZ_SECONDS, tests with label `slow` but
# those whose name matches SKIP_SLOW, under sanitizers those that `make test` runs without, and the
# tests of `make test` with another library of products and for another processor. CHECKS names some
# of them, in the order in which they are to run.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly SKIP_SLOW=${SKIP_SLOW:-'^$'}  # a regular expression, e.g. all_faults_test
readonly FUZZ_SECONDS=${FUZZ_SECONDS:-600}
readonly CHECKS=${CHECKS:-run_slow run_blas run_aarch64 run_slow_sanitized run_fuzzers run_tidy}
failed=()

# One fuzzer: its corpus grows in build-fuzz/, the seeds in tests/fuzz/corpus/NAME are read only.
run_fuzzer() {
  local fuzzer=$1 name seeds runs
  name=$(basename "$fuzzer")
  mkdir -p "build-fuzz/corpus/$name" build-fuzz/crashes
  seeds=tests/fuzz/corpus/$name
  [[ -d $seeds ]] || {
    echo "$name: no seeds in $seeds" >&2
    return 1
  }
  # A small model must not need more than this, whatever its file says.
  if "$fuzzer" -max_total_time="$FUZZ_SECONDS" -timeout=20 -rss_limit_mb=2560 -print_final_stats=1 \
    -artifact_prefix="build-fuzz/crashes/$name-" "build-fuzz/corpus/$name" "$seeds" \
    >"build-fuzz/$name.log" 2>&1 </dev/null; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "build-fuzz/$name.log")
    echo "$name: ok, $runs runs"
  else
    tail -n 40 "build-fuzz/$name.log"
    echo "$name: FAILED; the input is in build-fuzz/crashes/, the log in build-fuzz/$name.log"
    return 1
  fi
}
export -f run_fuzzer
export FUZZ_SECONDS

run_fuzzers() {
  local fuzzers
  tools/build.sh fuzz mw_fuzzers || return 1
  mapfile -t fuzzers < <(find build-fuzz/bin -maxdepth 1 -type f -name 'fuzz_*' -perm -u+x | sort)
  [[ ${#fuzzers[@]} -gt 0 ]] || die "no fuzzer was built"
  say "${#fuzzers[@]} fuzzers, $FUZZ_SECONDS s each"
  printf '%s\0' "${fuzzers[@]}" |
    xargs -0 -P "$JOBS" -I '{}' bash -c 'run_fuzzer "$1"' run_fuzzer '{}'
}

run_slow() {
  OMP_WAIT_POLICY=passive ctest --test-dir build --output-on-failure --no-tests=ignore \
    --timeout 7200 -j "$JOBS" -L '^slow$' -E "$SKIP_SLOW"
}

run_slow_sanitized() {
  tools/build.sh asan mw_slow_tests &&
    ASAN_OPTIONS=detect_stack_use_after_return=1:${ASAN_OPTIONS:-} \
    UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-} \
    ctest --test-dir build-asan --output-on-failure --no-tests=error --timeout 7200 -j "$JOBS" \
    -L '^slow$' -E "$SKIP_SLOW"
}

# The tests of `make test` with a second library of matrix products.
run_blas() {
  tools/build.sh blas &&
    OMP_WAIT_POLICY=passive ctest --test-dir build-blas --output-on-failure --no-tests=error \
      --timeout 1800 -j "$JOBS" -LE '^slow$'
}

run_aarch64() { tools/check_aarch64.sh; }

# From the beginning on whatever core is idle: many slow tests are one process after the other.
start_tidy() {
  mkdir -p build/tidy
  nice -n 19 tools/tidy.sh >build/tidy/log.txt 2>&1 &
  tidy=$!
  trap 'pkill -P "$tidy"; kill "$tidy"' EXIT
}

run_tidy() {
  local status=0
  wait "$tidy" || status=1
  trap - EXIT
  cat build/tidy/log.txt
  return "$status"
}

tools/build.sh release || die "the build failed"
if [[ " $CHECKS " == *" run_tidy "* ]]; then start_tidy; fi
for check in $CHECKS; do
  printf '\n'
  say "$check"
  [[ $check == run_* ]] && declare -F "$check" >/dev/null || die "CHECKS: no check $check"
  "$check" || failed+=("$check")
done
if [[ ${#failed[@]} -gt 0 ]]; then die "check-long: ${failed[*]}"; fi
say "check-long: all passed"
