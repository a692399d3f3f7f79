#!/usr/bin/env bash
# setup.sh play|test: make .venv with rtsep in it, ready for playing, or for the tests as well.
# What is there already is kept: an existing .venv, and a torch >= 2.6 that it or the system's Python has.
# PYTHON chooses the interpreter; PIP_ARGS is passed on to pip.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:?usage: setup.sh play|test}
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Install Debian packages where we may; otherwise say what the user is to type. Fails when they are not installed.
debian_packages() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing through apt: $*"
    apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@" >/dev/null
  else
    say "please install: sudo apt-get install $*   (other systems: the packages of the same purpose)"
    return 1
  fi
}

suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13}; do
    if suits "$candidate"; then
      # Not the python of a venv that happens to be active: ours would not see that one's packages.
      "$candidate" -c 'import sys; print(sys._base_executable)'
      return
    fi
  done
  return 1
}

# Version of the torch that an interpreter has, when it is new enough.
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
  base=$(find_python) || die "Python 3.11 or newer is needed: sudo apt-get install python3 python3-venv"
  "$base" -c 'import ensurepip' 2>/dev/null ||
    venv_package=$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  torch=$(torch_of "$base" || true)
  if [ -n "$torch" ]; then site_packages=(--system-site-packages); fi
fi

packages=.[plot,torch]
download="about 120 MB of Python packages"
system="${venv_package:+$venv_package (3 MB), }libportaudio2 (2 MB)"
if [ "$purpose" = test ]; then
  packages=.[plot,aac,torch,dev]
  download="about 270 MB of Python packages"
  system+=", pulseaudio, pulseaudio-utils, libasound2-plugins and jackd2 (up to 75 MB)"
fi
if [ -n "$torch" ]; then
  say "into .venv, reusing torch $torch; to download: $download where they are missing."
else
  say "into .venv; to download: $download, and torch: several GB with CUDA, PyTorch's default"
  say "on Linux, or about 200 MB for the CPU-only build (README: CPU only)."
fi
say "Debian packages, through apt where they are missing: $system."

if [ -n "$venv_package" ]; then debian_packages "$venv_package" || exit 1; fi
suits $python || "$base" -m venv --clear ${site_packages[@]+"${site_packages[@]}"} .venv
constraints=constraints.txt
if [ -n "$torch" ]; then
  constraints=.venv/constraints.txt  # the pins, less the one that would replace the torch at hand
  grep -v '^torch==' constraints.txt >$constraints
fi
# PIP_ARGS unquoted: it holds several arguments
$python -m pip install --no-input -c $constraints ${PIP_ARGS:-} -e "$packages"

if ! $python -c 'import sounddevice' 2>/dev/null; then
  debian_packages libportaudio2 || say "without PortAudio there is no sound; stems are rendered to files instead."
fi
if [ "$purpose" = test ] && ! { command -v jackd >/dev/null &&
  $python -c 'import sys; from tests.virtual_audio import why_not; sys.exit(bool(why_not()))'; }; then
  debian_packages pulseaudio pulseaudio-utils libasound2-plugins jackd2 ||
    say "without them the tests that listen to virtual devices skip."
fi

touch .venv/ready-play
if [ "$purpose" = test ]; then touch .venv/ready-test; fi
