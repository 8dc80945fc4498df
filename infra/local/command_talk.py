"""Talks with the command `jitgate` through a pseudo-terminal, with key strokes, as a person does."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

import deployment
import quirks
import snapshots
from checks import Checks
from command_checks import ORGANIZATION, Scene, scene
from github_pages import create_elsewhere, install_elsewhere
from terminal import heading

ENTER = "\r"
LINES = 150
NARROW = 60
PATIENCE_SECONDS = 120
SECRETS = re.compile(r"BEGIN [A-Z ]*PRIVATE KEY|[?&]code=")


class Talk:
    """A run of the command at a terminal of so many lines and columns."""

    def __init__(self, command: list[str], size: tuple[int, int], cwd: Path, env: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=env, start_new_session=True
        )
        os.close(theirs)
        self._terminal = ours
        self._news = threading.Condition()
        self.raw = ""
        self.shown = ""
        threading.Thread(target=self._listen, daemon=True).start()

    def see(self, pattern: str) -> re.Match[str]:
        """Waits until the screen has shown a text."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, self.shown)

        with self._news:
            self._news.wait_for(lambda: found() or self._process.poll() is not None, PATIENCE_SECONDS)
            seen = found()
        if seen is None:
            raise RuntimeError(f"never seen: {pattern}\n{self.shown[-3000:]}")
        return seen

    def type(self, keys: str) -> None:
        """Presses keys."""
        time.sleep(0.2)  # a prompt that is drawn may not read yet
        os.write(self._terminal, keys.encode())

    def interrupt(self) -> None:
        """Sends what a terminal sends on Ctrl-C to those that it controls."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Waits until the command ends."""
        return self._process.wait(PATIENCE_SECONDS)

    def _listen(self) -> None:
        escapes = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
        while True:
            try:
                some = os.read(self._terminal, 65536).decode(errors="replace")
            except OSError:
                some = ""
            with self._news:
                self.raw += some
                self.shown += escapes.sub("", some)
                self._news.notify_all()
            if not some:
                return


def check(binaries: dict[str, Path], checks: Checks) -> None:
    """Answers all questions of `setup` and `destroy` by hand, on a narrow terminal."""
    with scene(binaries, "talk") as there:
        heading("`jitgate setup` at a terminal, with GitHub on another machine")
        setup = ("setup", "--no-browser", "--github-url", there.github.url, *there.code)
        talk = begin(there, NARROW, *setup, lines=LINES)
        talk.see("For whom do the runners work")
        talk.type(ENTER)
        talk.see("The organisation's name")
        talk.type(ORGANIZATION + ENTER)
        talk.see("Subnets for the runners")
        talk.type(ENTER)
        talk.see(r"Go on\?")
        talk.type("y")
        start = talk.see(r"http://127\.0\.0\.1:\d+/")[0]
        talk.see("waiting for GitHub to make the App")
        talk.type(f"not an address{ENTER}")
        talk.see("Paste the whole address")
        talk.type(create_elsewhere(start) + ENTER)
        page = talk.see(r"http\S+/apps/(\S+)/installations/new")
        install_elsewhere(page[0])
        talk.see("Your fleet is ready")
        quirks.adapt(there.aws, deployment.find(there.aws).cluster)
        checks.that("every question can be answered by key strokes", talk.end() == 0, talk.shown[-2000:])
        snapshots.check_screen(checks, "setup-at-a-narrow-terminal", talk.raw, (LINES, NARROW))
        checks.that(
            "a pasted address makes the App", [app["slug"] for app in there.github.apps()] == [page[1]], page[1]
        )
        without_paste = re.sub(r"http://127\.0\.0\.1:\d+/callback\S*", "", talk.shown)
        checks.that("no key is shown", SECRETS.search(without_paste) is None, SECRETS.findall(without_paste))

        heading("`jitgate status --watch` at a terminal")
        _watches(there, checks)

        heading("`jitgate destroy` at a terminal")
        talk = begin(there, 100, "destroy", "--keep-app", "--no-browser")
        talk.see("type the stack's name")
        talk.type(f"wrong{ENTER}")
        checks.that("another word than the stack's name removes nothing", talk.end() == 130, talk.shown[-2000:])
        talk = begin(there, NARROW, "destroy", "--keep-app", "--no-browser", lines=LINES)
        talk.see("type the stack's name")
        talk.type(f"jitgate{ENTER}")
        talk.see("Nothing is left")
        checks.that("the stack's name does", talk.end() == 0, talk.shown[-2000:])
        snapshots.check_screen(checks, "destroy-at-a-narrow-terminal", talk.raw, (LINES, NARROW))
        checks.that("--keep-app leaves the App", len(there.github.apps()) == 1, there.github.apps())


def _watches(there: Scene, checks: Checks) -> None:
    """It draws over what it drew before, also on a screen that is lower than its text."""
    talk = begin(there, 60, "status", "--watch", lines=6)
    talk.see(r"more lines[\s\S]*more lines")
    talk.interrupt()
    checks.that("Ctrl-C ends it", talk.end() == 130, talk.shown[-2000:])
    first, *frames = talk.raw.split("\x1b[H")
    checks.that("the screen is cleared once", talk.raw.count("\x1b[2J") == 1 and "\x1b[2J" in first, talk.raw[-2000:])
    checks.that("each picture begins at the top", len(frames) >= 2, talk.raw[-2000:])
    lines = [frame.split("\x1b[J")[0].count("\n") for frame in frames]
    checks.that("and none scrolls", all(count <= 5 for count in lines), lines)


def begin(there: Scene, columns: int, *arguments: str, lines: int = 40) -> Talk:
    """Begins the command at a terminal of this size."""
    command = [str(there.command.binary), *arguments, "--region", "us-east-1"]
    return Talk(
        command, (lines, columns), there.command.home, {**there.command.environment(), "TERM": "xterm-256color"}
    )
