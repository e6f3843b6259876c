#!/usr/bin/env python3
"""Writes the licences of everything that is linked into a release binary, each text once:

    third-party.py TARGET >THIRD-PARTY-LICENSES

Same sources, same bytes. Packages must have been fetched; one without a licence file is named with its
SPDX expression.
"""
import collections
import json
import pathlib
import re
import sys

import sbom

LICENCE = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)


def main():
    metadata = json.loads(
        sbom.run("cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", sys.argv[1])
    )
    root, seen, _ = sbom.linked(metadata)
    packages = [package for package in metadata["packages"] if package["id"] in seen - {root}]
    packages.sort(key=lambda package: (package["name"], package["version"]))
    holders = collections.defaultdict(list)
    for package in packages:
        name = f"{package['name']} {package['version']} ({package['license']})"
        folder = pathlib.Path(package["manifest_path"]).parent
        texts = sorted(file for file in folder.iterdir() if file.is_file() and LICENCE.match(file.name))
        for text in texts:
            holders[text.read_text(errors="replace").strip()].append(name)
        if not texts:
            holders[f"No licence file; {package['license']}."].append(name)
    for text, names in sorted(holders.items(), key=lambda holder: holder[1]):
        print("=" * 80, *sorted(set(names)), "-" * 80, text, "", sep="\n")


if __name__ == "__main__":
    main()
