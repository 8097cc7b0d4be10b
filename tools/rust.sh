#!/usr/bin/env bash
# The Rust crate against the library of a build:
#   tools/rust.sh test BUILD REPORT    its tests and documentation's examples; REPORT gets JUnit XML
#   tools/rust.sh lint                 clippy, where cargo has it
# With a BUILD that has sanitizers, their library is loaded before the tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

library_of() { printf '%s/%s/src/api' "$ROOT" "$1"; }

run_tests() {
  local build=$1 report=$2 sanitizer host what=()
  MILLWRIGHT_LIB_DIR=$(library_of "$build")
  export MILLWRIGHT_LIB_DIR
  sanitizer=$(ldd "$MILLWRIGHT_LIB_DIR/libmillwright.so" | sed -n 's/.*=> \(\S*libasan\S*\) .*/\1/p')
  cd rust
  if [[ -n $sanitizer ]]; then
    export CARGO_TARGET_DIR=$ROOT/.cache/cargo-rust-asan
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=env LD_PRELOAD=$sanitizer"
    what=(--lib --tests) # examples of the documentation run without that runner
  fi
  cargo build --quiet --locked --offline --examples
  cargo test --locked --offline --no-fail-fast "${what[@]}" 2>&1 |
    python3 "$ROOT/tools/cargo_report.py" "$report"
}

lint() {
  if ! cargo clippy --version >/dev/null 2>&1; then
    echo "no clippy here"
    return
  fi
  cd rust
  MILLWRIGHT_LIB_DIR=$(library_of build) \
    cargo clippy --quiet --locked --offline --all-targets -- -D warnings
}

case "${1:-} $#" in
  'test 3') run_tests "$2" "$(realpath -m "$3")" ;;
  'lint 1') lint ;;
  *) die "rust.sh: expected test BUILD REPORT, or lint" ;;
esac
