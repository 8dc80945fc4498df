"""Output for a person: headings, lines, tables, and problems together with their remedy."""

import sys


class Problem(Exception):
    """Something that the user can fix. The message says what is wrong and what to do."""


_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def paint(text: str, colour: str) -> str:
    """Colours text on a terminal, and leaves it plain in a log file."""
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if sys.stdout.isatty() else text


def say(text: str = "") -> None:
    """Prints a line without buffering."""
    print(text, flush=True)


def heading(text: str) -> None:
    """Prints the title of the next step."""
    say(paint(f"\n▸ {text}", "bold"))


def table(header: list[str], rows: list[list[str]]) -> str:
    """Lays out a table whose columns are as wide as their widest cell."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: list[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    return "\n".join([paint(line(header), "bold"), *map(line, rows)])
