# Sourced by the scripts beside it: goes to the repository's root and finds the tools.
# shellcheck shell=bash disable=SC2034
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
ROOT=$PWD

# A home that cannot be written (some CI users have none) would break cargo, pip and ccache.
if [[ -z ${HOME:-} || ! -w $HOME ]]; then
  export HOME=$ROOT/.cache/home
  mkdir -p "$HOME"
fi

# Compiler results are kept per user, not per clone: a second clone on one machine builds quickly.
export CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1

VENV=$ROOT/.deps/venv
COREMLTOOLS_VENV=$ROOT/.deps/venv-coremltools
ADAPTERS_VENV=$ROOT/.deps/venv-adapters
JOBS=${JOBS:-$(nproc)}
case ":$PATH:" in
  *":$HOME/.cargo/bin:"*) ;;
  *) PATH=$PATH:$HOME/.cargo/bin ;;
esac

say() { printf '==> %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# at_least 3.25 3.30.1 is true; compares dotted numbers.
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }

# version_of cmake prints the first dotted number of `cmake --version`, nothing when it is absent.
version_of() {
  { "$1" --version 2>/dev/null || true; } | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1 || true
}
