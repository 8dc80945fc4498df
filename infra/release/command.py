"""Packs the command `jitgate` with the functions' code inside:
`python3 infra/release/command.py TARGET FOLDER_OF_ZIPS FOLDER [PROFILE]`.

The archive `jitgate-TARGET.tar.gz` holds the binary, the manual page and completions for shells. Beside it comes a
Python wheel with the same binary.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

import pack

ROOT = Path(__file__).resolve().parents[2]
SHELLS = ["bash", "elvish", "fish", "powershell", "zsh"]
REQUIREMENTS = ROOT / "infra" / "local" / "requirements-wheel.txt"


def build(zips: Path, profile: str) -> Path:
    """Builds the binary with the zips in it."""
    cargo = ["cargo", "build", "--locked", "--profile", profile, "--package", "jitgate"]
    subprocess.run(cargo, cwd=ROOT, env=_environment(zips), check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / ("debug" if profile == "dev" else profile) / "jitgate"


def _environment(zips: Path) -> dict[str, str]:
    return {**pack.environment(ROOT), "JITGATE_ZIPS": str(zips.resolve())}


def archive(binary: Path, target: str, folder: Path, zips: Path, profile: str) -> None:
    """Writes the archive."""
    manual = [
        "cargo",
        "run",
        "--locked",
        "--quiet",
        "--profile",
        profile,
        "--package",
        "jitgate",
        "--example",
        "manual",
    ]
    name = f"jitgate-{target}"
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(folder / f"{name}.tar.gz", "w:gz") as packed:
        page = subprocess.run(manual, cwd=ROOT, env=_environment(zips), check=True, stdout=subprocess.PIPE).stdout
        files = {"jitgate.1": page}
        for shell in SHELLS:
            script = subprocess.run([binary, "completions", shell], check=True, stdout=subprocess.PIPE).stdout
            files[f"completions/jitgate.{shell}"] = script
        packed.add(binary, f"{name}/jitgate")
        packed.add(ROOT / "LICENSE", f"{name}/LICENSE")
        for path, content in files.items():
            file = Path(scratch) / Path(path).name
            file.write_bytes(content)
            packed.add(file, f"{name}/{path}")


def wheel(folder: Path, zips: Path, profile: str) -> None:
    """Writes the wheel."""
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, with_pip=True)
        python = Path(scratch) / "bin" / "python"
        install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", str(REQUIREMENTS)]
        subprocess.run([python, *install], check=True)
        maturin = [python, "-m", "maturin", "build", "--locked", "--profile", profile, "--out", str(folder.resolve())]
        subprocess.run(maturin, cwd=ROOT / "infra" / "cli", env=_environment(zips), check=True)


if __name__ == "__main__":
    target_, zips_, folder_, *profile_ = sys.argv[1:]
    chosen = profile_[0] if profile_ else "release"
    Path(folder_).mkdir(parents=True, exist_ok=True)
    made = build(Path(zips_), chosen)
    archive(made, target_, Path(folder_), Path(zips_), chosen)
    wheel(Path(folder_), Path(zips_), chosen)
