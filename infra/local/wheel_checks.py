"""Builds the release's archive and wheel of the command, and uses what is in them."""

import os
import platform
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
from pathlib import Path

import binstall
from checkout import ROOT
from checks import Checks
from command import Command
from command_checks import Scene
from terminal import heading, say

TARGET = f"{platform.machine()}-unknown-linux-gnu"


def check(there: Scene, zips: Path, checks: Checks) -> None:
    """Builds both with the functions' code inside. The fleet that is there was made from the same code.

    Only with `PACK=1`: maturin builds all dependencies of the command once more, which takes minutes."""
    heading("The command as a release packs it")
    _found_by_binstall(checks)
    if os.environ.get("PACK") != "1":
        say("  skipped: set PACK=1 to build the archive and the wheel")
        return
    folder = there.command.home.parent / "release"
    pack = [sys.executable, str(ROOT / "infra" / "release" / "command.py"), TARGET, str(zips), str(folder), "dev"]
    subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(folder / f"jitgate-{TARGET}.tar.gz") as packed:
        paths = set(packed.getnames())
        names = {Path(name).name for name in paths}
    checks.that(
        "the archive holds the binary, its manual and completions",
        {"jitgate", "jitgate.1", "jitgate.bash", "jitgate.zsh"} <= names and f"jitgate-{TARGET}/jitgate" in paths,
        paths,
    )
    [wheel] = folder.glob("*.whl")
    environment = folder / "venv"
    venv.create(environment, with_pip=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-index", str(wheel)]
    subprocess.run(pip, check=True)
    installed = Command(environment / "bin" / "jitgate", there.command.aws_url, there.command.home)
    without_zips = there.code[there.code.index("--template") :]
    plan = installed.run("upgrade", "--plan", *without_zips)
    checks.that(
        "the wheel's command carries the code that is deployed",
        plan.code == 0 and plan.json.get("changes") == [],
        f"{plan.code}\n{plan.text}",
    )


def _found_by_binstall(checks: Checks) -> None:
    """Fills in the manifest's templates as `cargo binstall` does."""
    repository = "https://github.com/octo-org/jitgate"
    package = tomllib.loads(binstall.manifest(repository))["package"]
    words = {"repo": repository, "version": package["version"], "target": TARGET, "bin": "jitgate", "binary-ext": ""}
    found = {}
    for name in ("pkg-url", "bin-dir"):
        found[name] = re.sub(r"\{ ([\w-]+) \}", lambda word: words[word[1]], package["metadata"]["binstall"][name])
    release = f"{repository}/releases/download/v{package['version']}"
    expected = {"pkg-url": f"{release}/jitgate-{TARGET}.tar.gz", "bin-dir": f"jitgate-{TARGET}/jitgate"}
    checks.that(
        "`cargo binstall` looks for the archive and the binary where a release has them", found == expected, found
    )
