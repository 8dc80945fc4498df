"""Pins the Python packages: writes `requirements*.txt` from `requirements*.in`, with all dependencies and their hashes.

Pins that still fit stay. To renew them, delete a list first."""

import os
import subprocess
import venv
from pathlib import Path

from checkout import LOCAL

HERE = Path(__file__).resolve().parent
TOOL = "uv==0.13.9"

LISTS = {
    "requirements.txt": ["requirements.in"],
    "requirements-lint.txt": ["requirements.in", "requirements-lint.in", "--constraint=requirements.txt"],
    "requirements-deploy.txt": ["requirements-deploy.in", "--no-deps"],
    "requirements-checkov.txt": ["requirements-checkov.in"],
    "requirements-wheel.txt": ["requirements-wheel.in"],
}
"""What each list is made from."""

OPTIONS = ["--universal", "--python-version=3.11", "--generate-hashes", "--no-strip-extras", "--no-annotate"]
"""For every platform, and for the oldest Python that CONTRIBUTING.md names."""


def main() -> None:
    """Writes all lists."""
    environment = LOCAL / "pins"
    venv.create(environment, clear=True, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", TOOL], check=True)
    for name, sources in LISTS.items():
        # No address of a package index: it may be a mirror that only this machine reaches.
        command = [environment / "bin" / "uv", "pip", "compile", "--quiet", "--no-emit-index-url", *OPTIONS]
        variables = {**os.environ, "UV_CUSTOM_COMPILE_COMMAND": "make pins"}
        subprocess.run([*command, *sources, f"--output-file={name}"], cwd=HERE, env=variables, check=True)


if __name__ == "__main__":
    main()
