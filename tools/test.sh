#!/usr/bin/env bash
# Builds and checks everything CI checks. Every stage runs, also after a failure; counts last.
#
# A test binary that runs a large suite appends a line `NAME: N passed, N failed[, N skipped]` to
# the file that the environment variable MW_SUMMARY names, if set. They are printed at the end.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly REPORTS=$ROOT/build/test-reports
failed=()
started=$SECONDS

stage() {
  local name=$1 before=$SECONDS
  shift
  printf '\n'
  say "$name"
  if "$@" </dev/null; then
    say "$name: ok, $((SECONDS - before)) s"
  else
    say "$name: FAILED, $((SECONDS - before)) s"
    failed+=("$name")
  fi
}

# Threads that wait must not spin while other tests share the cores.
export OMP_WAIT_POLICY=passive
# What passes leave is verified in every test of every build.
export MW_VERIFY=1

# run_ctest FOLDER REPORTS-NAME: gtest writes one report per binary, for the counts.
run_ctest() {
  mkdir -p "$REPORTS/$2"
  GTEST_OUTPUT=xml:$REPORTS/$2/ MW_SUMMARY=$REPORTS/$2.summary \
    ctest --test-dir "$1" --output-on-failure --no-tests=error --timeout 1800 -j "$JOBS" -LE '^slow$'
}

run_sanitized() {
  tools/build.sh asan mw_tests &&
    ASAN_OPTIONS=detect_stack_use_after_return=1:${ASAN_OPTIONS:-} \
    UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-} run_ctest build-asan sanitized
}

run_python() {
  PYTHONPATH=$ROOT/build/python PATH=$ROOT/build/bin:$PATH MW_SUMMARY=$REPORTS/python.summary \
    MW_SHARED=$ROOT/../shared MW_TEST_DATA=$ROOT/tests/data MW_EXAMPLES=$ROOT/examples \
    "$VENV/bin/python" -m pytest -q -p no:cacheprovider \
    --junit-xml "$REPORTS/python/pytest.xml" python/tests
}

run_rust() { tools/rust.sh test build "$REPORTS/rust/cargo.xml"; }
run_rust_sanitized() { tools/rust.sh test build-asan "$REPORTS/rust-sanitized/cargo.xml"; }

rm -rf "$REPORTS"
mkdir -p "$REPORTS"
tools/build.sh release || die "the build failed, so nothing was tested"
stage "lint" tools/lint.sh
stage "tests" run_ctest build unit
stage "tests under address and undefined-behaviour sanitizers" run_sanitized
stage "Python tests" run_python
stage "Rust tests" run_rust
stage "Rust tests under the same sanitizers" run_rust_sanitized

printf '\n'
if [[ -d $ROOT/../shared ]]; then
  say "larger suites: $(realpath "$ROOT/../shared")"
else
  say "larger suites: no folder 'shared' beside this tree, so the tests that need it were skipped"
fi
python3 tools/count_tests.py "$REPORTS" || failed+=("counting the tests")
if [[ ${#failed[@]} -gt 0 ]]; then
  printf -v names '%s; ' "${failed[@]}"
  die "failed after $((SECONDS - started)) s: ${names%; }"
fi
say "all passed in $((SECONDS - started)) s"
