# Sourced by the scripts beside it: finds what is missing, installs Debian packages where it may, and says what to type
# where it may not.

missing() {
  echo "error: $1" >&2
  echo "next: $2" >&2
  exit 3
}

# require_packages COMMAND:PACKAGE...
require_packages() {
  local pair wanted=()
  for pair in "$@"; do
    command -v "${pair%%:*}" > /dev/null || [ -x "/usr/sbin/${pair%%:*}" ] || wanted+=("${pair#*:}")
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  command -v apt-get > /dev/null || missing "these are missing: ${wanted[*]}" "install them with your package manager"
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null || missing "these packages are missing: ${wanted[*]}" "as root: apt-get install ${wanted[*]}"
    root=(sudo)
  fi
  echo "installing Debian packages: ${wanted[*]}"
  "${root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "${wanted[@]}" > /dev/null \
    || missing "the packages could not be installed: ${wanted[*]}" "apt-get install ${wanted[*]}"
}

require_pip() {
  python3 -m pip --version > /dev/null 2>&1 || require_packages no-such-command:python3-pip
}

require_rust() {
  command -v cargo > /dev/null || { [ -x "$HOME/.cargo/bin/cargo" ] && PATH=$HOME/.cargo/bin:$PATH; }
  if ! command -v cargo > /dev/null; then
    missing "Rust is missing" "install it as https://rustup.rs says, then run this again"
  fi
  local version
  version=$(cargo --version | sed 's/cargo \([0-9]*\)\.\([0-9]*\).*/\1 \2/')
  # shellcheck disable=SC2086 # two words on purpose
  set -- $version
  if [ "$1" -lt 1 ] || { [ "$1" -eq 1 ] && [ "$2" -lt 89 ]; }; then
    missing "Rust $1.$2 is too old, 1.89 is needed" "rustup update stable"
  fi
}

# python_packages VENV PACKAGE...: makes the Python environment if it is missing, and installs into it.
python_packages() {
  local venv=$1
  shift
  if [ ! -x "$venv/bin/pip" ]; then
    python3 -m venv "$venv" 2> /dev/null || { rm -rf "$venv"; require_packages no-such-command:python3-venv; python3 -m venv "$venv"; }
  fi
  "$venv/bin/pip" install --quiet "$@" || missing "pip could not install $*" "check the connection to PyPI, then run this again"
}

# require_python VENV MODULE[:PACKAGE]...
require_python() {
  local venv=$1 module wanted=()
  shift
  for module in "$@"; do
    "$venv/bin/python" -c "import ${module%%:*}" 2> /dev/null || wanted+=("${module#*:}")
  done
  [ ${#wanted[@]} -eq 0 ] || python_packages "$venv" "${wanted[@]}"
}

require_postgres_server() {
  ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || require_packages no-such-command:postgresql
}
