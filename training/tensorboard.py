"""TensorBoard: the same record as in history.csv and samples/, for users of that tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plots.figures import read_picture
from system.errors import InputError
from system.locks import check_still_held


def summary_writer() -> Any:
    """TensorBoard's class for writing.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("--tensorboard needs one more package: pip install tensorboard") from None
    return SummaryWriter


class TensorBoard:
    """Writes to `folder`, which `tensorboard --logdir` reads.

    Args:
        step: the last step done; records of later steps by an earlier process are hidden.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.folder = folder
        self.writer = summary_writer()(folder, purge_step=step + 1)

    def losses(self, rows: list[tuple[int, int, float, float, float, float]]) -> None:
        """Write rows of `History`."""
        self.check_folder()
        for epoch, step, loss, lr, _, rate in rows:
            self.writer.add_scalar("loss", loss, step)
            self.writer.add_scalar("learning rate", lr, step)
            self.writer.add_scalar("epoch", epoch, step)
            self.writer.add_scalar("images per second", rate, step)

    def picture(self, path: Path, step: int) -> None:
        """Write a picture of samples, from its file."""
        self.check_folder()
        self.writer.add_image("samples", read_picture(path), step, dataformats="HWC")
        self.writer.flush()

    def check_folder(self) -> None:
        """Stop if the run's folder is gone, before TensorBoard's own thread prints a traceback.

        Raises:
            RunError: the folder was deleted or renamed.
        """
        check_still_held(self.folder / "events")

    def close(self) -> None:
        self.writer.close()
