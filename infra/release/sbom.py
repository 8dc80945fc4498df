"""Prints the functions' bill of materials in CycloneDX's format: `python3 infra/release/sbom.py METADATA.json`.

METADATA.json is the output of `cargo metadata --filter-platform` for a Linux target. The bill lists the crates that a
function reaches through normal dependencies, that is, without build and development dependencies.
"""

import json
import sys
from pathlib import Path
from typing import Any

FUNCTIONS = {"webhook", "worker", "cleaner"}


def sbom(metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns the bill of materials. It is the same for each run on the same lock file."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [id for id in metadata["workspace_members"] if packages[id]["name"] in FUNCTIONS]
    reached: dict[str, list[str]] = {}
    while waiting:
        id = waiting.pop()
        if id in reached:
            continue
        # `kind` is null for a normal dependency.
        reached[id] = [
            dependency["pkg"]
            for dependency in nodes[id]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
        waiting += reached[id]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "jitgate"}},
        "components": sorted((_component(packages[id]) for id in reached), key=lambda part: part["bom-ref"]),
        "dependencies": sorted(
            (
                {"ref": _ref(packages[id]), "dependsOn": sorted(_ref(packages[on]) for on in needs)}
                for id, needs in reached.items()
            ),
            key=lambda entry: entry["ref"],
        ),
    }


def _component(package: dict[str, Any]) -> dict[str, Any]:
    licence = {"licenses": [{"expression": package["license"].replace("/", " OR ")}]} if package["license"] else {}
    return {
        "type": "library",
        "bom-ref": _ref(package),
        "name": package["name"],
        "version": package["version"],
        "purl": _ref(package),
        **licence,
    }


def _ref(package: dict[str, Any]) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


if __name__ == "__main__":
    json.dump(sbom(json.loads(Path(sys.argv[1]).read_text())), sys.stdout, indent=2, sort_keys=True)
