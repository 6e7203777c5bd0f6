"""TensorBoard: the same record as history.csv and samples/, for those who have that tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plots.figures import read_picture
from system.errors import InputError
from system.locks import check_still_held


class TensorBoard:
    """Writes to `folder`, from where `tensorboard --logdir` reads.

    Args:
        step: the last that is done; what an earlier process wrote of later ones is hidden.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError(
                "--tensorboard needs one more package: pip install tensorboard"
            ) from None
        self.folder = folder
        self.writer: Any = SummaryWriter(folder, purge_step=step + 1)

    def losses(self, rows: list[tuple[int, int, float, float, float, float]]) -> None:
        """Rows as `History` holds them."""
        self.check_folder()
        for epoch, step, loss, lr, _, rate in rows:
            self.writer.add_scalar("loss", loss, step)
            self.writer.add_scalar("learning rate", lr, step)
            self.writer.add_scalar("epoch", epoch, step)
            self.writer.add_scalar("images per second", rate, step)

    def picture(self, path: Path, step: int) -> None:
        """A picture of samples, as it was written."""
        self.check_folder()
        self.writer.add_image("samples", read_picture(path), step, dataformats="HWC")
        self.writer.flush()

    def check_folder(self) -> None:
        """Stop when the run's folder is gone, before TensorBoard's own thread ends in a traceback.

        Raises:
            RunError: it was deleted or renamed.
        """
        check_still_held(self.folder / "events")

    def close(self) -> None:
        self.writer.close()
