#!/usr/bin/env bash
# Formats the C++ and, where cargo can, the Rust sources in place, or with --check names those that
# would change.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ $(version_of clang-format-14) == 14.* ]] || die "clang-format-14: not found; run make deps"
folders=()
for folder in include src tests python examples; do
  if [[ -d $folder ]]; then folders+=("$folder"); fi
done
# Fuzz corpora may hold files with any name.
# format JOBS OPTION...
format() {
  local jobs=$1
  shift
  find "${folders[@]}" -path '*/corpus' -prune -o -path '*/target' -prune -o \
    -type f \( -name '*.cc' -o -name '*.h' -o -name '*.hpp' \) -print0 |
    xargs -0 -r -P "$jobs" -n 16 clang-format-14 "$@"
}

crates=()
if cargo fmt --version >/dev/null 2>&1; then crates=(rust src/text/tokenizer); fi

case ${1:-} in
  '')
    format "$JOBS" -i
    for crate in "${crates[@]}"; do cargo fmt --manifest-path "$crate/Cargo.toml"; done
    ;;
  --check)
    for crate in "${crates[@]}"; do
      cargo fmt --manifest-path "$crate/Cargo.toml" --check -- --files-with-diff ||
        die "not formatted; run make format"
    done
    if ! differences=$(format 1 --dry-run -Werror 2>&1); then
      sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: error: .*/\1/p' <<<"$differences" | sort | uniq -c |
        sed 's/^ *\([0-9]*\) \(.*\)/\2: \1 places/'
      die "not formatted; run make format"
    fi
    ;;
  *) die "format.sh: expected --check or nothing, got '$1'" ;;
esac
