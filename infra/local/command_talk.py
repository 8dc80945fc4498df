"""Talks with the command `jitgate` through a pseudo-terminal, with key strokes, as a person does."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from checks import Checks
from command_checks import ORGANIZATION, Scene, scene
from terminal import heading

ENTER = "\r"
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
        talk = begin(there, 60, "setup", "--no-browser", "--github-url", there.github.url, *there.code)
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
        checks.that("every question can be answered by key strokes", talk.end() == 0, talk.shown[-2000:])
        checks.that(
            "a pasted address makes the App", [app["slug"] for app in there.github.apps()] == [page[1]], page[1]
        )
        without_paste = re.sub(r"http://127\.0\.0\.1:\d+/callback\S*", "", talk.shown)
        checks.that("no key is shown", SECRETS.search(without_paste) is None, SECRETS.findall(without_paste))

        heading("`jitgate destroy` at a terminal")
        talk = begin(there, 100, "destroy", "--keep-app", "--no-browser")
        talk.see("type the stack's name")
        talk.type(f"wrong{ENTER}")
        checks.that("another word than the stack's name removes nothing", talk.end() == 130, talk.shown[-2000:])
        talk = begin(there, 100, "destroy", "--keep-app", "--no-browser")
        talk.see("type the stack's name")
        talk.type(f"jitgate{ENTER}")
        talk.see("Nothing is left")
        checks.that("the stack's name does", talk.end() == 0, talk.shown[-2000:])
        checks.that("--keep-app leaves the App", len(there.github.apps()) == 1, there.github.apps())


def begin(there: Scene, columns: int, *arguments: str, lines: int = 40) -> Talk:
    """Begins the command at a terminal of this size."""
    command = [str(there.command.binary), *arguments, "--region", "us-east-1"]
    return Talk(
        command, (lines, columns), there.command.home, {**there.command.environment(), "TERM": "xterm-256color"}
    )


class _Form(HTMLParser):
    """The last form of a page: its action, and its hidden fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "form":
            self.action, self.fields = named.get("action") or "", {}
        if tag == "input" and named.get("name"):
            self.fields[str(named["name"])] = named.get("value") or ""


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: on another machine, the page would fail to load."""

    def redirect_request(self, *_: Any) -> None:
        return None


def install_elsewhere(page: str) -> None:
    """Installs the App on all repositories."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(page, timeout=20) as answer:
        form = _Form(answer.read().decode())
    fields = {**form.fields, "install_target": "all"}
    address = urllib.parse.urljoin(page, form.action)
    opener.open(address, urllib.parse.urlencode(fields).encode(), timeout=20).close()


def open_in_browser(start: str) -> None:
    """Creates the App as a browser on this machine would."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(create_elsewhere(start), timeout=20):
        pass


def create_elsewhere(start: str) -> str:
    """Creates the App as a browser on another machine would, and returns the address that fails to load there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
    with opener.open(start, timeout=20) as page:
        form = _Form(page.read().decode())
    with opener.open(form.action, urllib.parse.urlencode(form.fields).encode(), timeout=20) as page:
        confirmation = _Form(page.read().decode())
        address = urllib.parse.urljoin(form.action, confirmation.action)
    try:
        opener.open(address, urllib.parse.urlencode(confirmation.fields).encode(), timeout=20).close()
    except urllib.error.HTTPError as redirect:
        with redirect:
            return str(redirect.headers["location"])
    raise RuntimeError(f"{address} did not lead back")
