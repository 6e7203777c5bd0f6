"""The amount of memory, of the machine and of a container."""

import math
import os

import pytest

import system.memory
from system.memory import most_for_data, total_memory

PAGE, PAGES = 4096, 1_000_000


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with 4 GB, and a container whose limit the test writes."""
    sizes = {"SC_PAGE_SIZE": PAGE, "SC_PHYS_PAGES": PAGES}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__, raising=False)
    monkeypatch.setattr(system.memory, "CONTAINER", tmp_path / "memory.max")
    return tmp_path / "memory.max"


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        ("1000000\n", 1e6),
        ("max\n", PAGE * PAGES),
        ("99000000000\n", PAGE * PAGES),
        ("", PAGE * PAGES),
    ],
)
def test_the_smaller_of_machine_and_container_counts(machine, limit, found):
    machine.write_text(limit)
    assert total_memory() == found


def test_without_a_container_it_is_the_machine(machine):
    assert total_memory() == PAGE * PAGES


def test_a_system_that_does_not_tell_has_no_limit(machine, monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert total_memory() == math.inf
    machine.write_text("1000000")
    assert total_memory() == 1e6


def test_this_machine_has_some():
    assert 1e8 < total_memory() < 1e15


def test_data_may_take_a_third(machine):
    machine.write_text("1200000")
    assert most_for_data() == 4e5
