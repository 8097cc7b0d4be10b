#!/usr/bin/env bash
# Installs what building and testing Millwright needs on Debian 12; quick when all is in place.
#   tools/setup.sh               compilers, libraries, oneDNN in .deps/onednn, Python in .deps/venv
#   tools/setup.sh --check-long  also clang and clang-tidy for `make check-long`
#   tools/setup.sh --blas        also OpenBLAS, for the preset `blas`
#   tools/setup.sh --aarch64     also cross compilers, qemu-user and .deps/aarch64, for that preset
#   tools/setup.sh --coremltools also coremltools in .deps/venv-coremltools, for its check
#   tools/setup.sh --adapters    also transformers, PEFT, mlx-lm and PyTorch in .deps/venv-adapters
#   tools/setup.sh --peers       also coremltools, onnx, onnxruntime and PyTorch, to compare with
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly CMAKE_MIN=3.25 GXX_MIN=12 PROTOC_MIN=3.21 RUST_MIN=1.85 PYTHON_MIN=3.11
readonly LOG=$ROOT/.deps/setup.log
readonly REQUIREMENTS=$ROOT/tools/requirements

packages=(cmake ninja-build make g++ ccache mold pkg-config ca-certificates
  libhwy-dev libprotobuf-dev protobuf-compiler nlohmann-json3-dev libcli11-dev libfmt-dev
  libyaml-cpp-dev libzip-dev libgtest-dev libbenchmark-dev clang-format-14
  python3 python3-venv python3-dev)
check_long_packages=(clang-16 clang-tidy-16 libclang-rt-16-dev libomp-16-dev)
aarch64_packages=(g++-aarch64-linux-gnu qemu-user rustc-web cargo-web)
# What stands in .deps/aarch64: libraries for that processor, and headers for any.
aarch64_libraries=(libc6-dev libstdc++-12-dev libhwy-dev libprotobuf-dev nlohmann-json3-dev libcli11-dev
  libfmt-dev libyaml-cpp-dev libzip-dev libgtest-dev libopenblas-openmp-dev libstd-rust-web-dev)
with_peers=no with_coremltools=no with_adapters=no with_aarch64=no

for argument in "$@"; do
  case $argument in
    --check-long) packages+=("${check_long_packages[@]}") ;;
    --blas) packages+=(libopenblas-openmp-dev) ;;
    --aarch64) with_aarch64=yes && packages+=("${aarch64_packages[@]}") ;;
    --coremltools) with_coremltools=yes ;;
    --adapters) with_adapters=yes ;;
    --peers) with_peers=yes ;;
    -h | --help)
      sed -n '2,9s/^# //p' "$0"
      exit 0
      ;;
    *) die "setup.sh: unknown option '$argument'; see tools/setup.sh --help" ;;
  esac
done

# quietly WHAT COMMAND...: the output goes to the log; on failure its end is shown.
quietly() {
  local what=$1
  shift
  printf '\n$ %s\n' "$*" >>"$LOG"
  if ! "$@" >>"$LOG" 2>&1 </dev/null; then
    tail -n 15 "$LOG" >&2
    die "$what failed; the whole output is in ${LOG#"$ROOT"/}"
  fi
}

# Asks for the password of sudo now, because the output of apt goes to the log.
become_root() {
  as_root=()
  [[ $(id -u) != 0 ]] || return 0
  command -v sudo >/dev/null ||
    die "need root to install packages and there is no sudo; as root: apt-get install $*"
  sudo -v || die "need root to install packages; as root: apt-get install $*"
  as_root=(sudo)
}

apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 \
    -o DPkg::Lock::Timeout=300 "$@"
}

# install_debian PACKAGE...: installs those that are missing; never removes another package.
install_debian() {
  local installed missing=() name
  installed=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null |
    sed -n 's/^ii *//p' || true)
  for name in "$@"; do
    grep -qxF -- "$name" <<<"$installed" || missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  become_root "${missing[@]}"
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  quietly "apt-get update" apt update
  quietly "apt-get install ${missing[*]}" \
    apt install --no-install-recommends --no-remove "${missing[@]}"
}

require_version() {
  local tool=$1 wanted=$2 found
  found=$(version_of "$tool")
  [[ -n $found ]] || die "$tool: not found after installing the Debian packages"
  at_least "$wanted" "$found" || die "$tool: expected version $wanted or newer, got $found"
}

# Debian's own cargo (0.66) is too old for the tokenizer; its cargo-web package is kept up to date.
install_rust() {
  local found
  found=$(version_of cargo)
  if [[ -n $found ]] && at_least "$RUST_MIN" "$found"; then return; fi
  [[ -z $found ]] || say "cargo $found is older than $RUST_MIN"
  install_debian rustc-web cargo-web
  require_version cargo "$RUST_MIN"
}

# The stamp of a step: what it was made from.
stamp_of() {
  { uname -m; cat "$@"; } | sha256sum | cut -d' ' -f1
}
is_done() { [[ -f $1 && $(<"$1") == "$2" ]]; }

choose_python() {
  local candidate found
  for candidate in ${PYTHON:-} /usr/bin/python3 python3; do
    found=$(version_of "$candidate")
    if [[ -n $found ]] && at_least "$PYTHON_MIN" "$found"; then
      printf '%s' "$candidate"
      return
    fi
  done
  die "python3: expected version $PYTHON_MIN or newer; set PYTHON to one"
}

# install_python NAME PIP-OPTION...: pip-installs tools/requirements/NAME.txt into the venv once.
install_python() {
  local name=$1 stamp
  shift
  stamp="$(stamp_of "$REQUIREMENTS/$name.txt") $VENV" # a venv cannot be moved
  if is_done "$VENV/$name.stamp" "$stamp" && [[ -x $VENV/bin/python ]]; then return; fi
  if [[ $name == python || ! -x $VENV/bin/python ]]; then
    say "making the Python environment ${VENV#"$ROOT"/}"
    quietly "python3 -m venv" "$(choose_python)" -m venv --clear "$VENV"
  fi
  say "installing Python packages: $(sed -n 's/^\([a-z].*\)==\([^ ]*\).*/\1 \2/p' \
    "$REQUIREMENTS/$name.txt" | paste -sd, | sed 's/,/, /g')"
  quietly "pip install -r tools/requirements/$name.txt" "$VENV/bin/python" -m pip install \
    --no-input --only-binary :all: --require-hashes -r "$REQUIREMENTS/$name.txt" "$@"
  printf '%s' "$stamp" >"$VENV/$name.stamp"
}

# The wheel holds the same 54 MB library under three names: one is kept, with a link for the linker.
install_onednn() {
  local stamp target=$ROOT/.deps/onednn fresh=$ROOT/.deps/onednn.partial
  stamp=$(stamp_of "$REQUIREMENTS/onednn.txt")
  if is_done "$target/stamp" "$stamp" && [[ -f $target/lib/libdnnl.so.3 ]]; then return; fi
  [[ $(uname -m) == x86_64 ]] ||
    die "oneDNN: the pinned wheel is for x86_64, this machine is $(uname -m);" \
      "build oneDNN 3 and configure with -DMW_ONEDNN_DIR=FOLDER"
  say "fetching oneDNN 3.2"
  rm -rf "$fresh"
  mkdir -p "$fresh/lib"
  quietly "pip download of oneDNN" "$VENV/bin/python" -m pip download --no-input --no-deps \
    --only-binary :all: --require-hashes -r "$REQUIREMENTS/onednn.txt" -d "$fresh/wheels"
  quietly "unpacking oneDNN" \
    "$VENV/bin/python" "$ROOT/tools/unpack_onednn.py" "$fresh/wheels" "$fresh"
  rm -rf "$fresh/wheels"
  printf '%s' "$stamp" >"$fresh/stamp"
  rm -rf "$target"
  mv "$fresh" "$target"
}

# Debian packages of another architecture, unpacked into a folder: nothing of this machine's own
# changes, and a lack of them there is not one here.
install_aarch64() {
  local stamp deb target=$ROOT/.deps/aarch64 fresh=$ROOT/.deps/aarch64.partial
  stamp=$(sha256sum <<<"${aarch64_libraries[*]}" | cut -d' ' -f1)
  if is_done "$target/stamp" "$stamp"; then return; fi
  say "fetching libraries for aarch64"
  rm -rf "$fresh"
  mkdir -p "$fresh/apt/lists/partial" "$fresh/apt/cache/archives/partial" "$fresh/root"
  : >"$fresh/apt/status"
  local options=(-q -y -o Acquire::Retries=3 -o APT::Architecture=arm64 -o APT::Architectures=arm64
    -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Dir::Etc::main=/dev/null
    -o Dir::Etc::parts=/dev/null -o Dir::Cache="$fresh/apt/cache" -o Dir::State="$fresh/apt"
    -o Dir::State::status="$fresh/apt/status")
  quietly "apt-get update for arm64" apt-get "${options[@]}" update
  quietly "apt-get install for arm64" \
    apt-get "${options[@]}" install --download-only "${aarch64_libraries[@]}"
  for deb in "$fresh"/apt/cache/archives/*.deb; do
    quietly "unpacking $(basename "$deb")" dpkg-deb -x "$deb" "$fresh/root"
  done
  printf '%s' "$stamp" >"$fresh/root/stamp"
  rm -rf "$target"
  mv "$fresh/root" "$target"
  rm -rf "$fresh"
}

install_torch() {
  install_python torch --no-deps
  if ! "$VENV/bin/python" -c 'import torch' >/dev/null 2>&1; then
    say "making PyTorch importable without CUDA"
    quietly "tools/torch_without_cuda.py" "$VENV/bin/python" "$ROOT/tools/torch_without_cuda.py"
    quietly "import torch" "$VENV/bin/python" -c 'import torch; torch.ones(2) @ torch.ones(2)'
  fi
}

install_peers() {
  install_python peers
  install_torch
}

# None brings PyTorch's own dependencies along.
install_adapters() {
  install_python adapters --no-deps
  install_torch
}

mkdir -p "$ROOT/.deps"
: >"$LOG"
if command -v apt-get >/dev/null; then
  install_debian "${packages[@]}"
else
  say "no apt-get here: these must be installed by hand: ${packages[*]}"
fi
require_version cmake "$CMAKE_MIN"
require_version g++ "$GXX_MIN"
require_version protoc "$PROTOC_MIN"
install_rust
install_python python
install_onednn
if [[ $with_aarch64 == yes ]]; then install_aarch64; fi
if [[ $with_coremltools == yes ]]; then VENV=$COREMLTOOLS_VENV install_python coremltools; fi
if [[ $with_adapters == yes ]]; then VENV=$ADAPTERS_VENV install_adapters; fi
if [[ $with_peers == yes ]]; then install_peers; fi
say "dependencies are in place"
