#!/usr/bin/env bash
# setup.sh play|test: create .venv with rtsep, ready for playing, or for the tests as well.
# An existing .venv is kept, and so is torch >= 2.6 in it or in the system's Python.
# PYTHON selects the interpreter; PIP_ARGS is passed to pip.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:?usage: setup.sh play|test}
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Install Debian packages as root; otherwise print the command and fail.
debian_packages() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing with apt: $*"
    apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@" >/dev/null
  else
    say "install these packages: sudo apt-get install $*   (other systems: the equivalent packages)"
    return 1
  fi
}

suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13}; do
    if suits "$candidate"; then
      # Not the Python of an active virtual environment: ours would not see its packages.
      "$candidate" -c 'import sys; print(sys._base_executable)'
      return
    fi
  done
  return 1
}

# Print the version of torch in an interpreter, if it is new enough.
torch_of() {
  "$1" - 2>/dev/null <<'P'
import importlib.metadata
import re
version = importlib.metadata.version("torch")
if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) >= (2, 6):
    print(version)
P
}

python=.venv/bin/python
site_packages=()
venv_package=
if suits $python; then
  torch=$(torch_of $python || true)
else
  base=$(find_python) || die "Python 3.11 or newer not found: sudo apt-get install python3 python3-venv"
  "$base" -c 'import ensurepip' 2>/dev/null ||
    venv_package=$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  torch=$(torch_of "$base" || true)
  if [ -n "$torch" ]; then site_packages=(--system-site-packages); fi
fi

packages=.[plot,torch,tui,web]
download="about 130 MB of Python packages"
system="${venv_package:+$venv_package (3 MB), }libportaudio2 (2 MB)"
if [ "$purpose" = test ]; then
  packages=.[plot,aac,torch,tui,watch,web,dev]
  download="about 280 MB of Python packages"
  system+=", pulseaudio, pulseaudio-utils, libasound2-plugins and jackd2 (up to 75 MB)"
fi
if [ -n "$torch" ]; then
  say "installing into .venv with the existing torch $torch; downloads $download unless they are installed."
else
  say "installing into .venv; downloads $download, and torch: several GB with CUDA, PyTorch's default"
  say "on Linux, or about 200 MB for the CPU-only build (README: CPU only)."
fi
say "Debian packages, installed with apt if they are missing: $system."
say "Last, the weights of Spleeter's two-stem model (73 MB, MIT, Deezer), unless they are installed."

if [ -n "$venv_package" ]; then debian_packages "$venv_package" || exit 1; fi
suits $python || "$base" -m venv --clear ${site_packages[@]+"${site_packages[@]}"} .venv
constraints=constraints.txt
if [ -n "$torch" ]; then
  constraints=.venv/constraints.txt  # without the pin that would replace the existing torch
  grep -v '^torch==' constraints.txt >$constraints
fi
# PIP_ARGS unquoted: it holds several arguments
$python -m pip install --no-input -c $constraints ${PIP_ARGS:-} -e "$packages"

if ! $python -c 'import sounddevice' 2>/dev/null; then
  debian_packages libportaudio2 || say "without PortAudio nothing can be played; rtsep play writes the stems to files instead."
fi
if [ "$purpose" = test ] && ! { command -v jackd >/dev/null &&
  $python -c 'import sys; from tests.virtual_audio import why_not; sys.exit(bool(why_not()))'; }; then
  debian_packages pulseaudio pulseaudio-utils libasound2-plugins jackd2 ||
    say "without them the tests with virtual audio devices are skipped."
fi

.venv/bin/rtsep models get spleeter-2stems ||
  say "without these weights the bundled model plays, which separates less well; to try again: rtsep models get spleeter-2stems"

touch .venv/ready-play
if [ "$purpose" = test ]; then touch .venv/ready-test; fi
