#!/usr/bin/env bash
# Runs clang-tidy 16 over src/ without its tests and op cases, or over the named files, as build/ compiles.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ $(version_of clang-tidy-16) == 16.* ]] ||
  die "clang-tidy-16: not found; run tools/setup.sh --check-long"
[[ -f build/compile_commands.json ]] || die "build/compile_commands.json: missing; run make build"
# clang cannot read headers that g++ precompiled: the commands are taken without them.
mkdir -p build/tidy
mapfile -t files < <(python3 - "$@" <<'PYTHON'
import json, pathlib, re, sys
source = pathlib.Path("src").resolve()
entries = json.load(open("build/compile_commands.json"))
for entry in entries:
    entry["command"] = re.sub(r" -Winvalid-pch| -include \S+/cmake_pch\.hxx", "", entry["command"])
json.dump(entries, open("build/tidy/compile_commands.json", "w"))
paths = {pathlib.Path(entry["file"]) for entry in entries}
ours = [path for path in paths if source in path.parents and not path.stem.endswith(("_test", "_cases"))]
print("\n".join(sys.argv[1:] or map(str, sorted(ours))))
PYTHON
)
[[ -n ${files[0]:-} ]] || die "build/compile_commands.json names no file of src/"
say "clang-tidy over ${#files[@]} files"
# g++ knows warning options that clang does not, and clang 16 cannot capture structured bindings
# under OpenMP.
options=(-p build/tidy --quiet)
for option in -Wno-unknown-warning-option -fno-openmp -Wno-unknown-pragmas; do
  options+=(--extra-arg="$option")
done
printf '%s\0' "${files[@]}" | xargs -0 -P "$JOBS" -n 1 clang-tidy-16 "${options[@]}" \
  2> >(grep -vE '^[0-9]+ warnings? |^Suppressed|^Use -header' >&2 || true)
