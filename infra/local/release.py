"""Packs a release: `python3 infra/local/release.py ARCHITECTURE FOLDER_OF_BINARIES FOLDER_OF_ZIPS`.

One zip for each function with the executable that Lambda wants, `bootstrap`. The same binary makes the same bytes:
times, names and rights are fixed, and the compression is Python's.
"""

import sys
import zipfile
from pathlib import Path

FUNCTIONS = ["webhook", "worker", "cleaner"]

NO_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can say."""


def pack(binary: Path, target: Path) -> None:
    """Writes a zip with the binary as `bootstrap`."""
    entry = zipfile.ZipInfo("bootstrap", NO_TIME)
    entry.create_system = 3  # Unix, wherever this runs: else the rights are not heeded
    entry.external_attr = 0o100755 << 16
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(entry, binary.read_bytes(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    architecture, binaries, zips = sys.argv[1:]
    Path(zips).mkdir(parents=True, exist_ok=True)
    for name in FUNCTIONS:
        pack(Path(binaries) / name, Path(zips) / f"{name}-{architecture}.zip")
