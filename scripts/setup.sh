# Sourced by the other scripts: an environment with what they need, made when it is missing.

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

# Run apt-get as whoever may; fails quietly where nobody may.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo "$@"
  else return 1; fi
}

apt_install() {
  command -v apt-get >/dev/null || return 1
  say "Installing $* ..."
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
      >/dev/null
}

use_environment() {
  if [ -z "${VIRTUAL_ENV:-}" ]; then
    if [ ! -x .venv/bin/python ]; then
      say "Making a virtual environment in .venv ..."
      python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "easymlnb needs Python 3.11 or newer; python3 here is $(python3 -V)."; exit 1; }
      python3 -m venv .venv 2>/dev/null || { apt_install python3-venv && python3 -m venv .venv; } || {
        rm -rf .venv
        say "python3 cannot make virtual environments: install the package python3-venv."; exit 1; }
    fi
    # shellcheck disable=SC1091
    . .venv/bin/activate
  fi
}

# install EXTRAS: this project with those extras, and torch without any CUDA package. A stamp makes
# a second start a matter of seconds.
install() {
  local stamp; stamp=$(python -c 'import sys; print(sys.prefix)')/easymlnb-$1.stamp
  [ "$stamp" -nt setup.py ] && [ "$stamp" -nt scripts/constraints.txt ] && return
  say "Installing easymlnb [$1] ..."
  python -m pip install -qq --disable-pip-version-check --upgrade pip
  python -m pip install -qq --disable-pip-version-check -e ".[$1]"
  install_torch
  touch "$stamp"
}

install_torch() {
  python -c 'import torch' 2>/dev/null && return
  say "Installing torch (CPU) ..."
  # The default index may offer a build that drags several GB of CUDA along; look before it does.
  if python -m pip install -qq --disable-pip-version-check --dry-run --report - -c scripts/constraints.txt torch |
    grep -qiE '"name": *"(nvidia|cuda|triton)'; then
    python -m pip install -qq --disable-pip-version-check -c scripts/constraints.txt \
      --index-url https://download.pytorch.org/whl/cpu torch
  else
    python -m pip install -qq --disable-pip-version-check -c scripts/constraints.txt torch
  fi
}
