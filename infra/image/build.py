"""Builds the runner images and prints what a task pulls: `python3 infra/image/build.py IMAGE…`, or `make image`.

A pull is most of a runner's start, and it goes by compressed size. Docker with a daemon builds, or else buildah.
"""

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

IMAGES = {"docker": None, "slim": 300}
"""The images, and the most compressed megabytes that one may have."""

FOLDER = Path(__file__).parent

COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""How gzip and zstd begin."""


@dataclass(frozen=True)
class Layer:
    """A layer: its size in bytes as a registry stores it, and what made it."""

    size: int
    made_by: str


def layers(archive: Path) -> list[Layer]:
    """The layers of an image in an OCI archive, as `docker save` and `buildah push` write it."""
    with tarfile.open(archive) as tar:

        def read(name: str) -> bytes:
            file = tar.extractfile(name)
            if file is None:
                raise ValueError(f"{archive} has no {name}")
            return file.read()

        def blob(digest: str) -> bytes:
            return read(f"blobs/{digest.replace(':', '/')}")

        [entry, *_] = json.loads(read("index.json"))["manifests"]
        manifest = json.loads(blob(entry["digest"]))
        while "manifests" in manifest:
            manifest = json.loads(blob(manifest["manifests"][0]["digest"]))
        history = json.loads(blob(manifest["config"]["digest"])).get("history", [])
        made_by = [step.get("created_by", "") for step in history if not step.get("empty_layer")]
        sizes = [_compressed_size(blob(layer["digest"])) for layer in manifest["layers"]]
        made_by += [""] * (len(sizes) - len(made_by))
        return [Layer(size, by) for size, by in zip(sizes, made_by, strict=False)]


def _compressed_size(layer: bytes) -> int:
    """`docker save` writes layers as they are unpacked, and a push compresses them."""
    if any(layer.startswith(magic) for magic in COMPRESSED):
        return len(layer)
    return len(gzip.compress(layer, compresslevel=6))


def report(name: str, found: list[Layer]) -> Iterator[str]:
    """The sizes in words."""
    yield f"{name}:"
    for layer in found:
        yield f"  {layer.size / 1e6:8.1f} MB  {' '.join(layer.made_by.split())[:90]}"
    yield f"  {sum(layer.size for layer in found) / 1e6:8.1f} MB compressed in all"


def too_large(name: str, found: list[Layer], most: int | None) -> str | None:
    """Why an image is refused, if it is."""
    megabytes = sum(layer.size for layer in found) / 1e6
    if most is None or megabytes <= most:
        return None
    return f"{name} has {megabytes:.0f} MB compressed, more than the {most} MB that it may have"


def _builders() -> Iterator[str]:
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        yield "docker"
    if shutil.which("buildah"):
        yield "buildah"


def build(name: str, platform: str, archive: Path) -> None:
    """Builds an image, which the builder keeps as `jitgate-runner-NAME`, and writes it to an archive."""
    tag = f"jitgate-runner-{name}"
    arguments = ["--platform", platform, "--tag", tag, str(FOLDER / name)]
    builder = next(_builders(), None)
    if builder == "docker":
        subprocess.run(["docker", "build", *arguments], check=True)
        subprocess.run(["docker", "save", "--output", str(archive), tag], check=True)
    elif builder == "buildah":
        subprocess.run(["buildah", "build", "--format", "docker", *arguments], check=True)
        subprocess.run(["buildah", "push", tag, f"oci-archive:{archive}"], check=True)
    else:
        sys.exit("Neither Docker with a running daemon nor buildah is installed.")


def main() -> int:
    """Builds and measures; with `--archive`, only measures."""
    parser = argparse.ArgumentParser(description="Builds the runner images and prints their compressed sizes.")
    parser.add_argument("images", nargs="*", choices=[*IMAGES, []], help="which; all if none is named")
    parser.add_argument("--platform", default="linux/amd64", help="linux/amd64 or linux/arm64")
    parser.add_argument("--archive", type=Path, help="measure this OCI archive of the image, build nothing")
    given = parser.parse_args()
    refusals = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.images or IMAGES:
            archive = given.archive or Path(folder) / f"{name}.tar"
            if given.archive is None:
                build(name, given.platform, archive)
            found = layers(archive)
            print("\n".join(report(f"{name}, {given.platform}" if given.archive is None else name, found)))
            refusals += [refusal for refusal in [too_large(name, found, IMAGES[name])] if refusal]
    for refusal in refusals:
        print(refusal, file=sys.stderr)
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main())
