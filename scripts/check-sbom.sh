#!/usr/bin/env bash
# Writes what a release binary is made of, for TARGET (unset = this machine's own), and has it checked by
# the reader of the SPDX project, pinned in tests/release and installed into target/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
reader=$target/spdx
pins=$(sha256sum <tests/release/requirements.txt)
if [[ $(cat "$reader/pins" 2>/dev/null) != "$pins" ]]; then
  rm -rf "$reader"
  python3 -m venv "$reader"
  "$reader/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement tests/release/requirements.txt
  echo "$pins" >"$reader/pins"
fi
document=$target/anthropic-rbac.spdx.json
scripts/sbom.py "${TARGET:-$host}" >"$document"
"$reader/bin/pyspdxtools" --infile "$document" --version SPDX-2.3
scripts/sbom.py "${TARGET:-$host}" | cmp - "$document"
echo "sbom: $document is valid, with $(grep -c '"versionInfo"' "$document") packages"
