"""What a person reads: headings, one line for each thing that happens, and problems together with what to do."""

import sys


class Problem(Exception):
    """Something the person at the terminal can put right. The message says what is wrong and what to do about it."""


_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def paint(text: str, colour: str) -> str:
    """Colours text where somebody is looking; a log file stays plain."""
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if sys.stdout.isatty() else text


def say(text: str = "") -> None:
    """One line, at once: progress that sits in a buffer is none."""
    print(text, flush=True)


def heading(text: str) -> None:
    """What happens next, and may take a while."""
    say(paint(f"\n▸ {text}", "bold"))


def table(header: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: list[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    return "\n".join([paint(line(header), "bold"), *map(line, rows)])
