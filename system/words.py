"""Words for messages and titles. Imports nothing heavy."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as `1 step` or `20 steps`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
