"""What a person sees while a run goes on."""

from __future__ import annotations

import os
import sys
import time
from typing import Sequence


class Terminal:
    """Lines of progress with the time since the start; one line is redrawn in place where the output is a terminal."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._live = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._drawn = False
        self._last_plain = 0.0

    def say(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        print(f"{self._stamp()}  {text}", flush=True)

    def progress(self, text: str) -> None:
        """A line that the next one replaces; in a log, one every ten seconds."""
        if self._live:
            self._clear()
            print(f"\r{self._stamp()}  {text}", end="", flush=True)
            self._drawn = True
        elif time.monotonic() - self._last_plain >= 10:
            self._last_plain = time.monotonic()
            print(f"{self._stamp()}  {text}", flush=True)

    def show(self, text: str) -> None:
        """A block without a time."""
        self._clear()
        print(text, flush=True)

    def _stamp(self) -> str:
        return f"{time.monotonic() - self._start:6.1f} s"

    def _clear(self) -> None:
        if self._drawn:
            print("\r\x1b[2K", end="")
            self._drawn = False


def bar(value: float, whole: float, width: int = 30) -> str:
    """A bar of eighth blocks."""
    eighths = round(max(0.0, min(1.0, value / whole if whole > 0 else 0.0)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned: the first to the left, the others to the right."""
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))).rstrip()

    return "\n".join([line(header), line(["-" * w for w in widths]), *map(line, rows)])
