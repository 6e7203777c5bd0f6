"""The repository in another folder, where tests may change it."""

import shutil
from pathlib import Path

from scripts import REPOSITORY

# Hidden folders, what is made when needed, and what tools leave.
LEFT_OUT = (".*", "data", "outputs", "build", "dist", "__pycache__", "*.egg-info")


def copy_repository(folder: Path) -> Path:
    """Copy what a fresh clone holds to `folder`, apart from hidden files."""
    ignore = shutil.ignore_patterns(*LEFT_OUT)
    return Path(shutil.copytree(REPOSITORY, folder, ignore=ignore, dirs_exist_ok=True))
