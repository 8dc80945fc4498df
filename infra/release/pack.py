"""Builds the functions for release and packs each into a zip:
`python3 infra/release/pack.py ARCHITECTURE FOLDER_OF_ZIPS [FUNCTION…]`.

Each zip holds one executable, `bootstrap`, as Lambda's runtime `provided.al2023` expects. It is built for this
machine's processor; ARCHITECTURE only goes into the file's name.

The same sources give the same bytes: a zip contains no path, time or name of the machine that built it
(`reproducible.py` tests this). rust-toolchain.toml pins the compiler. Nothing pins the C compiler, the linker and the C
library, so compare with a release only on the runner image that the release was built on.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

FUNCTIONS = ["webhook", "worker", "cleaner"]

NO_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time that the zip format can express."""


def build(root: Path, functions: list[str]) -> dict[str, Path]:
    """Builds functions in the checkout at `root`. Returns the path of each binary."""
    packages = [argument for name in functions for argument in ("--package", name)]
    subprocess.run(["cargo", "build", "--locked", "--release", *packages], cwd=root, env=environment(root), check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    return {name: target / "release" / name for name in functions}


def environment(root: Path) -> dict[str, str]:
    """Keeps this machine's paths out of Rust's panic messages and of C's assertions."""
    cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    # The last prefix that matches wins, and the checkout may be inside cargo's folder, or cargo's folder inside it.
    prefixes = sorted([(str(root), "."), (cargo, "/cargo")], key=lambda prefix: len(prefix[0]))
    return {
        **os.environ,
        # The encoded form, because a path may contain spaces.
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(f"--remap-path-prefix={real}={shown}" for real, shown in prefixes),
        "CFLAGS": " ".join(f"-ffile-prefix-map={real}={shown}" for real, shown in prefixes),
    }


def pack(binary: Path, target: Path) -> None:
    """Writes a zip that contains the binary as `bootstrap`."""
    entry = zipfile.ZipInfo("bootstrap", NO_TIME)
    entry.create_system = 3  # Unix; otherwise the file mode below is ignored
    entry.external_attr = 0o100755 << 16
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(entry, binary.read_bytes(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    architecture, zips, *wanted = sys.argv[1:]
    Path(zips).mkdir(parents=True, exist_ok=True)
    for name, binary in build(Path(__file__).resolve().parents[2], wanted or FUNCTIONS).items():
        pack(binary, Path(zips) / f"{name}-{architecture}.zip")
