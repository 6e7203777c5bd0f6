"""Words for messages and titles. Imports nothing heavy."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as `1 step` or `20 steps`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """A time to the precision that a person needs: `40 s`, `22 minutes`, `3.5 hours`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
