"""Runs the command `jitgate` against the emulator and the GitHub stand-in, as a user would."""

import json
import os
import re
import subprocess
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import quirks
from checkout import TEMPLATE
from emulator import REGION, ROOT_KEY, Emulator

PATIENCE_SECONDS = 180
"""How long one run may take."""


@dataclass
class Run:
    """A run of the command, which goes on until `wait`."""

    process: subprocess.Popen[str]
    listener: threading.Thread = field(init=False)
    lines: list[str] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def begin(self) -> None:
        """Begins to read what the command says."""
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        """Reads what the command says, until it ends."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.news.notify_all()

    def until(self, pattern: str) -> re.Match[str] | None:
        """Waits until a line matches; `None` if the command ends before."""

        def found() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

        with self.news:
            self.news.wait_for(lambda: found() or self.process.poll() is not None, PATIENCE_SECONDS)
            return found()

    def has(self, pattern: str) -> bool:
        """Whether a line matches by now."""
        with self.news:
            return any(re.search(pattern, line) for line in self.lines)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.process.kill()
        self.process.wait()
        self.listener.join(PATIENCE_SECONDS)

    def wait(self) -> "Result":
        """Waits until the command ends."""
        assert self.process.stdout is not None
        printed = self.process.stdout.read()
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        self.listener.join(PATIENCE_SECONDS)
        return Result(code, json.loads(printed) if printed.strip() else {}, "\n".join(self.lines))


@dataclass(frozen=True)
class Result:
    """How a run ended: the exit code, the object on standard output, and the text on standard error."""

    code: int
    json: dict[str, Any]
    text: str


@dataclass(frozen=True)
class Command:
    """The command in one user's environment."""

    binary: Path
    aws_url: str
    home: Path

    def start(self, *arguments: str, **environment: str) -> Run:
        """Starts the command without a terminal and without a browser of its own."""
        process = subprocess.Popen(
            [str(self.binary), *arguments, "--json", "--region", REGION],
            env={**self.environment(), **environment},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        run = Run(process)
        run.begin()
        return run

    def run(self, *arguments: str, **environment: str) -> Result:
        """Runs the command to its end."""
        return self.start(*arguments, **environment).wait()

    def environment(self) -> dict[str, str]:
        """Inherits only PATH, not the user's AWS profile, nor a proxy."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            **ROOT_KEY,
        }


def zips(binaries: dict[str, Path], folder: Path) -> Path:
    """Packs the functions as a release does, without compression."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("webhook", "worker", "cleaner"):
        for processor in ("x86_64", "arm64"):
            entry = zipfile.ZipInfo("bootstrap")
            entry.create_system = 3
            entry.external_attr = 0o100755 << 16
            with zipfile.ZipFile(folder / f"{name}-{processor}.zip", "w") as archive:
                archive.writestr(entry, binaries[name].read_bytes())
    return folder


def template(folder: Path) -> Path:
    """Writes template.yaml without the resources that the emulator does not support."""
    blocks = re.split(r"(?m)^(?=  \w+:$)", TEMPLATE.read_text())
    kept = []
    for block in blocks:
        if any(f"\n    Type: {kind}\n" in block for kind in quirks.UNKNOWN_TYPES):
            # The last block of a section has the heading of the next.
            kept.append(block[block.find("\nOutputs:") :] if "\nOutputs:" in block else "")
        else:
            kept.append(block)
    path = folder / "template.yaml"
    path.write_text("".join(kept))
    return path


def code(binaries: dict[str, Path], folder: Path) -> list[str]:
    """The arguments that name the functions' code and the template."""
    return ["--zips", str(zips(binaries, folder / "zips")), "--template", str(template(folder))]


def setup(github_url: str, organization: str, code: list[str], parameters: dict[str, str] | None = None) -> list[str]:
    """The arguments of `setup`, with the template's parameters."""
    # The emulator's VPC has no internet gateway, so its subnets look private.
    wanted = {"AssignPublicIp": "true", **(parameters or {})}
    return [
        *("setup", "--yes", "--no-browser", "--org", organization, "--github-url", github_url, *code),
        *(part for name, value in wanted.items() for part in ("--set", f"{name}={value}")),
    ]


def for_user(binary: Path, aws: Emulator, home: Path) -> Command:
    """The command for a user with this home folder."""
    home.mkdir(parents=True, exist_ok=True)
    return Command(binary, aws.url, home)
