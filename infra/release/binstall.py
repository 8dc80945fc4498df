"""Writes the manifest by which `cargo binstall` finds a release's archives:
`python3 infra/release/binstall.py https://github.com/OWNER/jitgate > Cargo.toml`.

`cargo binstall` takes the address of the repository from a manifest. The sources name none, since they are the same in
every fork; a release knows it.
"""

import json
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def manifest(repository: str) -> str:
    """A manifest that stands alone: without the sources, their dependencies and the workspace."""
    package = tomllib.loads((ROOT / "infra" / "cli" / "Cargo.toml").read_text())["package"]
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    lines = ["[package]", f'name = "{package["name"]}"']
    for key, value in {
        "description": package["description"],
        "version": workspace["version"],
        "license": workspace["license"],
        "repository": repository.rstrip("/"),
    }.items():
        lines.append(f"{key} = {json.dumps(value)}")
    lines += ["", "[[bin]]", f'name = "{package["name"]}"', 'path = "src/main.rs"']
    lines += ["", "[package.metadata.binstall]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in package["metadata"]["binstall"].items()]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    [address] = sys.argv[1:]
    sys.stdout.write(manifest(address))
