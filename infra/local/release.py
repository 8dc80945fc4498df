"""Builds and packs a release: `python3 infra/local/release.py ARCHITECTURE FOLDER_OF_ZIPS [FUNCTION…]`.

One zip for each function with the executable that Lambda wants, `bootstrap`, for the processor of this machine. The
same sources make the same bytes, wherever they lie: no path, no time, no name of this machine gets into a zip.
`infra/local/reproducible.py` builds twice and compares. The compiler is pinned in rust-toolchain.toml; another C
compiler, linker or C library makes other bytes, so compare with a release on what the release was built on.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

FUNCTIONS = ["webhook", "worker", "cleaner"]

NO_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can say."""


def build(root: Path, functions: list[str]) -> dict[str, Path]:
    """Builds functions in a checkout; where each binary lies."""
    packages = [argument for name in functions for argument in ("--package", name)]
    subprocess.run(["cargo", "build", "--locked", "--release", *packages], cwd=root, env=_environment(root), check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    return {name: target / "release" / name for name in functions}


def _environment(root: Path) -> dict[str, str]:
    """Paths of this machine would come into the binaries by panics' messages, in Rust, and by assertions, in C."""
    cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    # The last one that fits is taken, and a checkout may lie below cargo's folder, or the other way round.
    places = sorted([(str(root), "."), (cargo, "/cargo")], key=lambda place: len(place[0]))
    return {
        **os.environ,
        # Encoded, since a path may have spaces.
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(f"--remap-path-prefix={real}={told}" for real, told in places),
        "CFLAGS": " ".join(f"-ffile-prefix-map={real}={told}" for real, told in places),
    }


def pack(binary: Path, target: Path) -> None:
    """Writes a zip with the binary as `bootstrap`."""
    entry = zipfile.ZipInfo("bootstrap", NO_TIME)
    entry.create_system = 3  # Unix, wherever this runs: else the rights are not heeded
    entry.external_attr = 0o100755 << 16
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(entry, binary.read_bytes(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    architecture, zips, *wanted = sys.argv[1:]
    Path(zips).mkdir(parents=True, exist_ok=True)
    for name, binary in build(Path(__file__).resolve().parents[2], wanted or FUNCTIONS).items():
        pack(binary, Path(zips) / f"{name}-{architecture}.zip")
