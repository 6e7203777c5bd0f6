"""Tests run side by side, one process a core, so each keeps to one thread."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def figures(monkeypatch):
    from studio import record_figures

    return record_figures(monkeypatch)


@pytest.fixture
def frames(monkeypatch):
    from studio import record_frames

    return record_frames(monkeypatch)
