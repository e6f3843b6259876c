#!/usr/bin/env python3
"""Writes an SPDX 2.3 document, in JSON, of what a release binary is made of.

    sbom.py TARGET [BINARY] >anthropic-rbac.spdx.json

TARGET is a Rust target, BINARY the file that was built for it. Only packages that are linked into that
binary, or run while it is built, are in it, from Cargo.lock alone. Same sources, same bytes: the date is
that of SOURCE_DATE_EPOCH, else of the latest commit.
"""
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.parse


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def spdx_id(package):
    text = f"Package-{package['name']}-{package['version']}"
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", text.replace("_", "--"))


def linked(metadata):
    """Edges from the root on, without what only tests and benches need."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    seen, edges, waiting = {root}, [], [root]
    while waiting:
        of = waiting.pop()
        for dependency in nodes[of]["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]} - {"dev"}
            if not kinds:
                continue
            edges.append((of, dependency["pkg"], "BUILD_DEPENDENCY_OF" if kinds == {"build"} else "DEPENDS_ON"))
            if dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    return root, seen, edges


def described(package, checksums):
    # Old manifests have a slash for OR.
    licence = (package["license"] or "NOASSERTION").replace("/", " OR ").replace("  ", " ")
    name, version = package["name"], package["version"]
    found = {
        "SPDXID": spdx_id(package),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:cargo/{name}@{urllib.parse.quote(version)}",
            }
        ],
    }
    if (package["source"] or "").startswith("registry+"):
        found["checksums"] = [{"algorithm": "SHA256", "checksumValue": checksums[name, version]}]
    elif package["source"] is None:
        found["downloadLocation"] = f"git+{package['repository']}"
        found["primaryPackagePurpose"] = "APPLICATION"
        found["licenseConcluded"] = licence
    else:
        sys.exit(f"{name}: neither ours nor of the registry: {package['source']}")
    return found


def main():
    target, *binary = sys.argv[1:]
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", target))
    with open("Cargo.lock", "rb") as lock:
        locked = tomllib.load(lock)["package"]
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    packages = {package["id"]: package for package in metadata["packages"]}
    root, seen, edges = linked(metadata)

    epoch = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct")
    created = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    relations = [("SPDXRef-DOCUMENT", spdx_id(packages[root]), "DESCRIBES")]
    for of, on, kind in edges:
        pair = spdx_id(packages[of]), spdx_id(packages[on])
        relations.append((*(pair if kind == "DEPENDS_ON" else reversed(pair)), kind))

    files = []
    if binary:
        with open(binary[0], "rb") as built:
            content = built.read()
        files.append(
            {
                "SPDXID": "SPDXRef-Binary",
                "fileName": "./" + os.path.basename(binary[0]),
                "fileTypes": ["BINARY"],
                "checksums": [
                    {"algorithm": name.upper(), "checksumValue": hashlib.new(name, content).hexdigest()}
                    for name in ("sha1", "sha256")
                ],
                "licenseConcluded": "NOASSERTION",
                "copyrightText": "NOASSERTION",
            }
        )
        relations.append(("SPDXRef-Binary", spdx_id(packages[root]), "GENERATED_FROM"))

    name = f"anthropic-rbac-{packages[root]['version']}-{target}"
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "creationInfo": {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Organization: anthropic-rbac", "Tool: scripts/sbom.py"],
        },
        "packages": sorted((described(packages[each], checksums) for each in seen), key=lambda each: each["SPDXID"]),
        "files": files,
        "relationships": [
            {"spdxElementId": of, "relatedSpdxElement": to, "relationshipType": kind}
            for of, to, kind in sorted(set(relations))
        ],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["documentNamespace"] = f"{packages[root]['repository']}/spdx/{name}-{digest[:32]}"
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
