"""Downloads that succeed, and downloads that are abandoned."""

import subprocess
import sys
import time

import pytest

import datasets.downloads
from datasets.downloads import wait_while_growing


def test_a_silent_download_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.downloads, "PATIENCE", 0.5)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        start = time.monotonic()
        wait_while_growing(child, tmp_path)
        assert time.monotonic() - start < 10
        assert child.poll() is None
        child.kill()


@pytest.mark.parametrize("file", ["part", "unpacked/part"])
def test_a_slow_download_is_waited_for(tmp_path, monkeypatch, file):
    monkeypatch.setattr(datasets.downloads, "PATIENCE", 1.0)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    code = (
        "import sys, time\n"
        "for i in range(8):\n"
        "    time.sleep(0.25)\n"
        "    open(sys.argv[1], 'ab').write(b'x')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / file)]) as child:
        wait_while_growing(child, tmp_path)
        assert child.poll() == 0
