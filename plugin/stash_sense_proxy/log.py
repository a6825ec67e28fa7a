"""Log lines as Stash reads them from a plugin's stderr: byte 1, a letter for the level, byte 2, text."""

from __future__ import annotations

import sys

LEVELS = {"trace": "t", "debug": "d", "info": "i", "warning": "w", "error": "e"}
LONGEST_LINE = 4000
"""Stash's reader gives up at a line of 64 KiB."""


def log(level: str, text: str) -> None:
    """Writes one line. Text of several lines becomes one."""
    line = " ".join(text.split())[:LONGEST_LINE]
    sys.stderr.write(f"\x01{LEVELS[level]}\x02{line}\n")
    sys.stderr.flush()
