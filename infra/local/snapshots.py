"""Compares what the command prints with what it should print, in `snapshots/`. `SNAPSHOTS=write` writes those files.

What differs from run to run, such as ports and random names, is replaced by words in capitals.
"""

import json
import os
import re
from pathlib import Path

import pyte

from checkout import ROOT
from checks import Checks
from command import Result

FOLDER = Path(__file__).resolve().parent / "snapshots"

VERSION = re.search(r'(?m)^version = "(.+)"$', (ROOT / "Cargo.toml").read_text())

RANDOM = [
    (r"[?&]code=[0-9a-f]*\n?[0-9a-f]*&state=[0-9a-f]*", "?CODE"),
    (r"(?m)^[◒◐◓◑].*\n", ""),  # a spinner, which draws over what is typed
    (r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:PORT"),
    (r"https?://[a-z0-9]+\.lambda-url\.", "https://URL_ID.lambda-url."),
    (r"\d+ running tasks?", "N running tasks"),
    (r"subnet-[0-9a-f]+", "subnet-ID"),
    (r"jitgate-code-[a-z0-9-]+", "BUCKET"),
    (r"jitgate-[0-9a-f]{6}\b", "jitgate-RANDOM"),
    (r"arn:aws:secretsmanager:\S+:secret:\S+", "SECRET_ARN"),
    (r"what \d+ tasks? may still run", "what N tasks may still run"),
    (r"arn:aws:ecs:\S+?:task/[\w-]+/[0-9a-f-]+(, arn:aws:ecs:\S+?:task/[\w-]+/[0-9a-f-]+)*", "TASK_ARNS"),
    (r"/\S*/state/tmp\w+", "SCRATCH"),
]
"""What differs, and what stands in its place."""

PROGRESS = re.compile(r"^  (creating|updating|deleting) stack |^  waiting for |^warning: the cleaner's last pass")
"""Lines whose number and order depend on how busy the machine is, and one that depends on what the cleaner remembers of
a suspension."""


def check(checks: Checks, name: str, run: Result) -> None:
    """Compares text, exit code and JSON of a run."""
    check_text(checks, name, words_of(run))


def words_of(run: Result) -> str:
    """All that a run says."""
    lines = [line for line in run.text.splitlines() if not PROGRESS.search(line)]
    shown = "\n".join(lines) + f"\n\nexit code {run.code}, and on standard output:\n"
    return shown + json.dumps(run.json, indent=2) + "\n"


def check_screen(checks: Checks, name: str, raw: str, size: tuple[int, int]) -> None:
    """Compares what a terminal of so many lines and columns shows at the end."""
    lines, columns = size
    screen = pyte.Screen(columns, lines)
    pyte.Stream(screen).feed(raw)
    shown = [line.rstrip() for line in screen.display]
    too_long = [line for line in shown if len(line) == columns and "http" not in line]
    checks.that(f"no line but an address fills all of {columns} columns, so none is broken", not too_long, too_long)
    check_text(checks, name, "\n".join(shown).rstrip("\n") + "\n")


def check_text(checks: Checks, name: str, shown: str) -> None:
    """Compares a text."""
    assert VERSION is not None
    for pattern, word in [*RANDOM, (re.escape(VERSION[1]), "VERSION")]:
        shown = re.sub(pattern, word, shown)
    file = FOLDER / f"{name}.txt"
    if os.environ.get("SNAPSHOTS") == "write":
        FOLDER.mkdir(exist_ok=True)
        file.write_text(shown)
    expected = file.read_text() if file.exists() else "nothing"
    checks.that(f"the output is that of {file.relative_to(ROOT)}", shown == expected, f"it is\n{shown}")
