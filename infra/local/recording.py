"""Draws docs/setup.svg: a real session of `jitgate setup` at a terminal, on the emulator. `make recording` runs it."""

import io
import re
import time
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

import command_talk
import github_pages
import toolchain
from checkout import ROOT
from command_checks import ORGANIZATION, scene

DRAWING = ROOT / "docs" / "setup.svg"
COLUMNS = 92
LINES = 110


def main() -> None:
    """Records and draws."""
    with scene(toolchain.build(), "recording") as there:
        arguments = ("setup", "--no-browser", "--github-url", there.github.url, *there.code)
        talk = command_talk.begin(there, COLUMNS, *arguments, lines=LINES)
        talk.see("For whom do the runners work")
        talk.type(command_talk.ENTER)
        talk.see("The organisation's name")
        talk.type(ORGANIZATION + command_talk.ENTER)
        talk.see("Subnets for the runners")
        talk.type(command_talk.ENTER)
        talk.see(r"Go on\?")
        talk.type("y")
        start = talk.see(r"http://127\.0\.0\.1:\d+/")[0]
        talk.see("waiting for GitHub to make the App")
        github_pages.open_in_browser(start)
        page = talk.see(r"http\S+/apps/(\S+)/installations/new")
        time.sleep(1)
        github_pages.install_elsewhere(page[0])
        talk.see("Your fleet is ready")
        if talk.end() != 0:
            raise RuntimeError(talk.shown)
        _draw(talk.raw, DRAWING)


def _draw(text: str, file: Path) -> None:
    """Plays a terminal's output and draws the last screen, with its colours."""
    screen = pyte.Screen(COLUMNS, LINES)
    pyte.Stream(screen).feed(text)
    lines = [_line(screen, number) for number in range(LINES)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(line)
    svg = console.export_svg(title="jitgate setup", unique_id="setup")
    # The reader's own font, not one from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    file.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE) + "\n")


def _colour(of_pyte: str) -> str | None:
    """pyte calls yellow brown, and gives colours beyond the sixteen in hexadecimal digits."""
    if re.fullmatch("[0-9a-f]{6}", of_pyte):
        return f"#{of_pyte}"
    return {"default": None, "brown": "yellow"}.get(of_pyte, of_pyte.replace("bright", "bright_"))


def _line(screen: pyte.Screen, number: int) -> Text:
    line = Text()
    for column in range(COLUMNS):
        cell = screen.buffer[number][column]
        line.append(cell.data, Style(color=_colour(cell.fg), bold=cell.bold))
    line.rstrip()
    return line


if __name__ == "__main__":
    main()
