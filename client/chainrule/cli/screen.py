"""What commands write: tables and marks, by rich where it is installed, plain otherwise."""

import importlib.util
import sys
from collections.abc import Sequence

MARKS = {"ok": "ok", "note": "note", "fail": "FAIL"}
_STYLES = {"ok": "green", "note": "yellow", "fail": "bold red"}


def say(text: str = "") -> None:
    """A line on standard output."""
    sys.stdout.write(text + "\n")


def show_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headers."""
    if has_rich():
        from rich.console import Console
        from rich.table import Table

        table = Table(*headers, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*row)
        Console(highlight=False, markup=False).print(table)
        return
    widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]
    for row in (headers, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say(line.rstrip())


def show_mark(mark: str, name: str, text: str) -> None:
    """One line of a list of checks: ok, note or fail."""
    if has_rich():
        from rich.console import Console
        from rich.text import Text

        line = Text.assemble((f"{MARKS[mark]:<5}", _STYLES[mark]), (f"{name:<14}", "bold"), text)
        Console(highlight=False, soft_wrap=True).print(line)
        return
    say(f"{MARKS[mark]:<5}{name:<14}{text}")


def has_rich() -> bool:
    """Whether rich is installed."""
    return importlib.util.find_spec("rich") is not None
