"""How a run is trained and what it writes: the options of train.py that the training needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from names import CONSISTENCY


@dataclass(frozen=True)
class TrainSettings:
    """The fields are the options of train.py with the same names, which `--help` explains.

    The settings of the network and its process are in the run's configuration instead.
    """

    output_dir: Path
    epochs: int
    batch_size: int
    lr: float
    objective: str = "denoising"
    guidance: float | None = None
    no_teacher: bool = False
    optimizer: str = "adamw"
    lr_schedule: str = "cosine"
    grad_clip: float = 1.0
    ema_decay: float = 0.9999
    num_samples: int = 64
    show_image_step: int | None = None
    sample_interval: int = 1
    save_interval: int = 1
    save_every_minutes: float | None = None
    keep_checkpoints: int | None = None
    tensorboard: bool = False
    precision: str = "auto"
    compile: str = "auto"
    seed: int = 0

    @property
    def tunes(self) -> bool:
        """Whether the run tunes a trained network for few steps, by `consistency`."""
        return self.objective == CONSISTENCY
