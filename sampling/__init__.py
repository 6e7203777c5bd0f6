"""From a checkpoint to samples: `generate(restore(), SampleSettings(count=16))`."""

from sampling.batches import generate
from sampling.settings import SampleSettings
from sampling.trained import Trained, restore

__all__ = ["SampleSettings", "Trained", "generate", "restore"]
